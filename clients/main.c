/* main.c - nightmill COMMAND ...: finds the command and hands over. */
#include <sqlite3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "base/log.h"
#include "clients/command.h"

static const struct command COMMANDS[] = {
    {"run", command_run, "answer a JSONL file with a model: one command; run it again to resume"},
    {"broker", command_broker, "serve a queue file to workers and clients"},
    {"worker", command_worker, "run a model for a broker"},
    {"plan", command_plan, "what rows would take, and the best instances for them; runs nothing"},
    {"node", command_node, "offer this machine's devices and run what the plan gives it"},
    {"submit", command_submit, "put the rows of a JSONL file into the queue"},
    {"status", command_status, "how far the batches are"},
    {"results", command_results,
     "the finished rows of a batch, as OpenAI, short JSON or CSV lines"},
    {"instances", command_instances, "who works on the queue, and how fast"},
    {"top", command_top, "batches and instances as they are now, again and again"},
    {"report", command_report, "what a batch came to, as a page or as text"},
    {"pause", command_pause, "start no more rows of a batch, or one row"},
    {"resume", command_resume, "go on with what was paused"},
    {"cancel", command_cancel, "end a batch, or one row, without an answer"},
    {"retry", command_retry, "run failed rows again: all, or those of one error code"},
    {"delete", command_delete, "remove a batch, or one row, with its answers"},
    {"sql", command_sql, "ask the queue file a question in SQL, also while work is under way"},
    {"keys", command_keys, "make, list and revoke the keys of workers and clients on other hosts"},
    {"render", command_render, "the prompt text that a model makes of messages"},
    {"tokenize", command_tokenize, "strings to a model's token ids, a line each, and back"},
    {"profile", command_profile, "measure how fast a model is here, and how much fits"},
    {"doctor", command_doctor, "what works here, and what is missing"},
    {"version", command_version, "this program's version and its libraries'"},
};
#define N_COMMANDS (sizeof COMMANDS / sizeof COMMANDS[0])

static void print_help(FILE *f)
{
    fputs("Usage: nightmill COMMAND [OPTION...]\n\n"
          "Bulk LLM prompts go in at night, answers are in a SQL table in the morning.\n\n",
          f);
    for (size_t i = 0; i < N_COMMANDS; i++)
        fprintf(f, "  %-9s %s\n", COMMANDS[i].name, COMMANDS[i].help);
    fputs("\nnightmill COMMAND --help lists a command's options; each is also an environment "
          "variable:\n"
          "--max-model-len is NIGHTMILL_MAX_MODEL_LEN.\n",
          f);
}

/* What was printed may still be on its way: a full disk is no success. */
static int run_command(const struct command *c, int argc, char **argv)
{
    int code = c->run(argc, argv);
    bool lost = fflush(stdout) || ferror(stdout);

    if (!lost || (code != EXIT_ALL_DONE && code != EXIT_SOME_FAILED)) return code;
    fprintf(stderr, "nightmill %s: standard output cannot be written\n", c->name);
    return EXIT_ENVIRONMENT;
}

int main(int argc, char **argv)
{
    struct errmsg e;

    log_setup(getenv("NIGHTMILL_LOG"), LOG_WARN);
    (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0); /* it would lock for each allocation */
    if (fault_setup(getenv("NIGHTMILL_FAULT"), &e)) return command_fail("fault", ERR_ARG, &e);
    if (argc < 2) {
        print_help(stderr);
        return EXIT_USAGE;
    }
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
        print_help(stdout);
        return EXIT_ALL_DONE;
    }
    if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V"))
        return command_version(1, argv + 1);
    for (size_t i = 0; i < N_COMMANDS; i++)
        if (!strcmp(argv[1], COMMANDS[i].name))
            return run_command(&COMMANDS[i], argc - 1, argv + 1);
    fprintf(stderr, "nightmill: there is no command '%s'; nightmill --help lists them\n", argv[1]);
    return EXIT_USAGE;
}
