/* e2e_rows.c - good and bad rows, batches and commands, through real processes. */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/process.h"
#include "tests/test.h"

#define MODEL "examples/tidy"
#define CELL                                                                                       \
    "\"messages\":[{\"role\":\"user\",\"content\":\"Clean the date. Locale: de. Cell: "            \
    "3.4.2021\"}]"
#define GOOD(id)                                                                                   \
    "{\"custom_id\":\"" id "\",\"body\":{" CELL ",\"max_tokens\":24,\"temperature\":0}}"

static const char *write_text(const char *name, const char *text)
{
    return test_file(name, text, strlen(text));
}

/* The error code of a line, compared with what it should be. */
static void expect_code(const char *db, int line, const char *code)
{
    char sql[256];

    snprintf(sql, sizeof sql, "SELECT count(*) FROM errors WHERE line=%d AND code='%s'", line,
             code);
    ck_assert_msg(process_sql(db, sql) == 1, "line %d has not failed with %s", line, code);
}

static void expect_in(const char *path, const char *words)
{
    struct buf b = process_read(path);

    ck_assert_msg(strstr(b.data, words) != NULL, "'%s' is not in: %s", words, b.data);
    buf_fini(&b);
}

/* --- lines
 * -------------------------------------------------------------------------------------------------------
 */

START_TEST(each_bad_line_is_one_error_row_and_the_others_are_done)
{
    static const struct {
        const char *text, *code; /* code NULL: a good row; "": a blank line */
    } LINES[] = {
        {"\xEF\xBB\xBF" GOOD("bom") "\r", NULL},
        {"", ""},
        {GOOD("crlf") "\r", NULL},
        {"{\"custom_id\": \"cut\", \"body\": {\"mess", "invalid_json_line"},
        {"[1, 2]", "invalid_request"},
        {"{\"custom_id\":\"none\",\"body\":{\"max_tokens\":5}}", "invalid_request"},
        {"{\"custom_id\":\"stream\",\"body\":{\"stream\":true," CELL "}}", "invalid_request"},
        {"{\"custom_id\":\"url\",\"url\":\"/v1/embeddings\",\"body\":{" CELL "}}", "url_mismatch"},
        {"{\"custom_id\":\"type\",\"body\":{\"messages\":\"hello\"}}", "invalid_request"},
        {"{\"custom_id\":\"tools\",\"body\":{\"tools\":[{\"type\":\"function\"}]," CELL "}}",
         "unsupported_parameter"},
        {"{\"custom_id\":\"format\",\"body\":{\"response_format\":{\"type\":\"json_object\"}," CELL
         "}}",
         "unsupported_parameter"},
        {"{\"custom_id\":\"utf8\",\"body\":{\"prompt\":\"\xFF\xFE\"}}", "invalid_utf8"},
        {"{\"custom_id\":\"lone\",\"body\":{\"prompt\":\"\\ud800\"}}", "invalid_json_line"},
        {"{\"custom_id\":\"nul\",\"prompt\":\"a\\u0000b\",\"max_tokens\":2,\"temperature\":0}",
         NULL},
        {GOOD("twice"), NULL},
        {GOOD("twice"), "duplicate_custom_id"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":\"Clean the date. Locale: fr. Cell: 12 "
         "mars 1999\"}],"
         "\"max_tokens\":24,\"some_new_field\":1}",
         NULL},
        {GOOD("last"), NULL},
    };
    const char *db = test_path("rows.db");
    struct buf text = {0};
    struct process p;
    int good = 0, bad = 0;

    for (size_t i = 0; i < sizeof LINES / sizeof LINES[0]; i++) {
        buf_adds(&text, LINES[i].text);
        buf_addc(&text, '\n');
    }
    ck_assert_int_eq(PROCESS_RUN(&p, 60, "run", "-i", test_file("rows.jsonl", text.data, text.len),
                                 "--db", db, "-m", MODEL, "--max-body-bytes", "64K"),
                     1);
    for (size_t i = 0; i < sizeof LINES / sizeof LINES[0]; i++) {
        if (!LINES[i].code)
            good++;
        else if (LINES[i].code[0])
            expect_code(db, (int)i + 1, LINES[i].code), bad++;
    }
    ck_assert_int_eq(process_sql(db, "SELECT done FROM progress"), good);
    ck_assert_int_eq(process_sql(db, "SELECT failed FROM progress"), bad);
    ck_assert_int_eq(
        process_sql(db,
                    "SELECT count(*) FROM results WHERE custom_id='last' AND text='2021-04-03'"),
        1);
    expect_in(p.err, "line 4, column");
    expect_in(p.err, "some_new_field");
    buf_fini(&text);
}
END_TEST

START_TEST(too_long_a_line_or_a_prompt_is_refused_with_both_numbers)
{
    const char *db = test_path("long.db");
    struct buf text = {0};
    struct process p;

    buf_adds(&text, "{\"custom_id\":\"line\",\"prompt\":\"");
    for (int i = 0; i < 70000; i++)
        buf_addc(&text, 'x');
    buf_adds(&text, "\"}\n{\"custom_id\":\"prompt\",\"prompt\":\"");
    for (int i = 0; i < 2000; i++)
        buf_adds(&text, "x ");
    buf_adds(&text, "\"}\n" GOOD("good") "\n");
    ck_assert_int_eq(PROCESS_RUN(&p, 60, "run", "-i", test_file("long.jsonl", text.data, text.len),
                                 "--db", db, "-m", MODEL, "--max-body-bytes", "64K"),
                     1);
    expect_code(db, 1, "line_too_long");
    expect_code(db, 2, "context_length_exceeded");
    ck_assert_int_eq(process_sql(db, "SELECT count(*) FROM errors WHERE message LIKE '%70%65536%'"),
                     1);
    ck_assert_int_eq(
        process_sql(db, "SELECT count(*) FROM errors WHERE message LIKE '%tokens%512%'"), 1);
    ck_assert_int_eq(process_sql(db, "SELECT done FROM progress"), 1);
    buf_fini(&text);
}
END_TEST

START_TEST(output_that_is_no_text_is_marked_and_its_token_ids_are_kept)
{
    const char *db = test_path("bytes.db");
    struct buf rows = {0};
    struct process p;

    /* So hot that the answers are bytes rather than words. */
    for (int i = 0; i < 50; i++)
        buf_printf(&rows,
                   "{\"prompt\":\"x%d\",\"max_tokens\":40,\"temperature\":2,\"seed\":%d,"
                   "\"ignore_eos\":true}\n",
                   i, i);
    ck_assert_int_eq(PROCESS_RUN(&p, 60, "run", "-i", test_file("hot.jsonl", rows.data, rows.len),
                                 "-o", test_path("hot.out"), "--db", db, "-m", MODEL),
                     0);
    ck_assert_int_ge(process_sql(db, "SELECT count(*) FROM results WHERE text LIKE '%\xEF\xBF\xBD%'"
                                     " AND json_array_length(choices, '$[0].token_ids') = 40"),
                     1);
    ck_assert_int_eq(process_sql(db, "SELECT done FROM progress"), 50);
    buf_fini(&rows);
}
END_TEST

START_TEST(strict_submits_nothing_when_one_line_is_bad)
{
    const char *db = test_path("strict.db");
    struct process p;

    ck_assert_int_eq(PROCESS_RUN(&p, 60, "run", "--strict", "-i",
                                 write_text("s.jsonl", GOOD("a") "\n{bad\n"), "--db", db, "-m",
                                 MODEL),
                     1);
    ck_assert_int_eq(process_sql(db, "SELECT count(*) FROM job"), 0);
    expect_in(p.err, "line 2");
}
END_TEST

START_TEST(the_same_file_again_adds_nothing_and_a_mended_one_only_what_was_bad)
{
    const char *db = test_path("again.db"), *out = test_path("again.out");
    struct process p;

    ck_assert_int_eq(PROCESS_RUN(&p, 60, "run", "-i", write_text("m.jsonl", GOOD("a") "\n{bad\n"),
                                 "--db", db, "-m", MODEL, "-o", out),
                     1);
    ck_assert_int_eq(PROCESS_RUN(&p, 60, "run", "-i", write_text("m.jsonl", GOOD("a") "\n{bad\n"),
                                 "--db", db, "-m", MODEL, "-o", out),
                     1);
    expect_in(p.err, "2 there already");
    ck_assert_int_eq(PROCESS_RUN(&p, 60, "run", "-i",
                                 write_text("m.jsonl", GOOD("a") "\n" GOOD("b") "\n"), "--db", db,
                                 "-m", MODEL, "-o", out),
                     0);
    ck_assert_int_eq(process_sql(db, "SELECT count(*) FROM job"), 2);
    ck_assert_int_eq(process_sql(db, "SELECT done FROM progress"), 2);
    expect_in(out, "\"custom_id\":\"b\"");
}
END_TEST

START_TEST(another_body_under_the_same_id_needs_replace)
{
    const char *db = test_path("differs.db");
    const char *other = "{\"custom_id\":\"a\",\"body\":{\"messages\":[{\"role\":\"user\","
                        "\"content\":\"Clean the date. "
                        "Locale: de. Cell: 5.6.2022\"}],\"max_tokens\":24,\"temperature\":0}}\n";
    struct process p;

    ck_assert_int_eq(PROCESS_RUN(&p, 60, "run", "-i", write_text("d.jsonl", GOOD("a") "\n"), "--db",
                                 db, "-m", MODEL),
                     0);
    ck_assert_int_eq(
        PROCESS_RUN(&p, 60, "run", "-i", write_text("d.jsonl", other), "--db", db, "-m", MODEL), 1);
    ck_assert_int_eq(process_sql(db, "SELECT count(*) FROM results WHERE text='2021-04-03'"), 1);
    ck_assert_int_eq(PROCESS_RUN(&p, 60, "run", "--replace", "-i", write_text("d.jsonl", other),
                                 "--db", db, "-m", MODEL),
                     0);
    ck_assert_int_eq(process_sql(db, "SELECT count(*) FROM results WHERE text='2022-06-05'"), 1);
    ck_assert_int_eq(process_sql(db, "SELECT count(*) FROM result"), 1);
}
END_TEST

/* --- instances
 * ---------------------------------------------------------------------------------------------------
 */

START_TEST(a_row_too_large_for_every_instance_fails_with_both_numbers)
{
    const char *db = test_path("fit.db");
    const char *big = "{\"custom_id\":\"big\",\"body\":{" CELL
                      ",\"max_tokens\":400,\"temperature\":0}}\n" GOOD("small") "\n";
    struct process p;

    /* 256 tokens of KV: 4 layers x 2 heads x 64 x 2 bytes x K and V = 2 KiB a token. */
    ck_assert_int_eq(PROCESS_RUN(&p, 60, "run", "-i", write_text("f.jsonl", big), "--db", db, "-m",
                                 MODEL, "--kv-cache-memory-bytes", "512K"),
                     1);
    expect_code(db, 1, "does_not_fit");
    ck_assert_int_eq(
        process_sql(db, "SELECT count(*) FROM errors WHERE message LIKE '%4__ tokens%256%'"), 1);
    ck_assert_int_eq(process_sql(db, "SELECT attempts FROM errors"), 0);
    ck_assert_int_eq(process_sql(db, "SELECT done FROM progress"), 1);
}
END_TEST

START_TEST(a_row_that_does_not_fit_here_runs_where_it_fits)
{
    const char *db = test_path("fit2.db");
    struct process broker, small, large, p;
    struct buf rows = {0};

    /* Twenty large rows and a small one: some of the large ones are tried on `small` first. */
    for (int i = 0; i < 20; i++)
        buf_printf(&rows,
                   "{\"custom_id\":\"big%d\",\"body\":{" CELL
                   ",\"max_tokens\":400,\"temperature\":0}}\n",
                   i);
    buf_adds(&rows, GOOD("small") "\n");
    PROCESS_START(&broker, NULL, "broker", "--db", db);
    PROCESS_START(&small, NULL, "worker", "--db", db, "-m", MODEL, "--name", "small",
                  "--kv-cache-memory-bytes", "512K");
    PROCESS_START(&large, NULL, "worker", "--db", db, "-m", MODEL, "--name", "large");
    while (process_sql(db, "SELECT count(*) FROM instances WHERE state='here'") < 2)
        process_sleep_ms(10);
    ck_assert_int_eq(PROCESS_RUN(&p, 60, "submit", "--wait",
                                 test_file("f.jsonl", rows.data, rows.len), "--db", db),
                     0);
    ck_assert_int_eq(process_sql(db, "SELECT count(*) FROM results WHERE custom_id LIKE 'big%'"
                                     " AND instance='large'"),
                     20);
    ck_assert_int_eq(process_sql(db, "SELECT count(*) FROM attempt WHERE counts"), 0); /* Q7 */
    process_kill(&small, SIGTERM);
    process_kill(&large, SIGTERM);
    process_kill(&broker, SIGTERM);
    buf_fini(&rows);
}
END_TEST

/* The answers of a run, in one string. */
static struct buf answers(const char *max_num_seqs, const char *input, const char *name)
{
    char db[512], out[512];
    struct process p;

    snprintf(db, sizeof db, "%s.db", test_path(name));
    snprintf(out, sizeof out, "%s", test_path(name));
    ck_assert_int_eq(PROCESS_RUN(&p, 120, "run", "-i", input, "-o", out, "--db", db,
                                 "--output-format", "csv", "-m", MODEL, "--max-num-seqs",
                                 max_num_seqs),
                     0);
    return process_read(out);
}

START_TEST(a_batch_of_1_and_of_64_give_the_same_tokens)
{
    struct buf rows = {0}, one, many;
    char line[512], input[512];

    for (int i = 0; i < 64; i++) {
        snprintf(
            line, sizeof line,
            "{\"custom_id\":\"r%d\",\"body\":{\"messages\":[{\"role\":\"user\",\"content\":\"Clean "
            "the %s %d\"}],\"max_tokens\":%d,\"temperature\":1.2,\"top_p\":0.95,\"seed\":%d}}\n",
            i, i % 2 ? "date" : "weird cell, please", i * 37, 8 + i, 1000 + i);
        buf_adds(&rows, line);
    }
    snprintf(input, sizeof input, "%s", test_file("seeds.jsonl", rows.data, rows.len));
    one = answers("1", input, "one.csv");
    many = answers("64", input, "many.csv");
    ck_assert_str_eq(one.data, many.data);
    buf_fini(&rows);
    buf_fini(&one);
    buf_fini(&many);
}
END_TEST

START_TEST(a_lying_model_file_is_refused_with_the_tensor_and_the_number)
{
    static const char ONE[] = "{\"prompt\":\"1\"}\n";
    char dir[512], path[600];
    struct buf weights = process_read(MODEL "/model.safetensors"), config;
    static const char *const FILES[] = {"config.json", "tokenizer.json", "tokenizer_config.json",
                                        "generation_config.json"};
    struct process p;

    snprintf(dir, sizeof dir, "%s", test_path("lying"));
    ck_assert_int_eq(mkdir(dir, 0700), 0);
    for (int i = 0; i < 4; i++) {
        char from[600], name[64];
        struct buf b;

        snprintf(from, sizeof from, MODEL "/%s", FILES[i]);
        snprintf(name, sizeof name, "lying/%s", FILES[i]);
        b = process_read(from);
        test_file(name, b.data, b.len);
        buf_fini(&b);
    }
    snprintf(path, sizeof path, "%s",
             test_file("lying/model.safetensors", weights.data, weights.len - 1000));
    ck_assert_int_eq(PROCESS_RUN(&p, 60, "worker", "-m", dir, "--db", test_path("none.db")), 3);
    expect_in(p.err, "model.layers");
    expect_in(p.err, "bytes");
    ck_assert_int_eq(PROCESS_RUN(&p, 60, "doctor", "-m", dir, "--db", test_path("none.db")), 3);
    expect_in(p.out, "BROKEN");
    test_file("lying/model.safetensors", weights.data, weights.len);
    ck_assert_int_eq(PROCESS_RUN(&p, 60, "doctor", "-m", dir, "--db", test_path("none.db")), 0);
    config = process_read(MODEL "/config.json");
    *strstr(strstr(config.data, "num_hidden_layers"), "4") = '5';
    test_file("lying/config.json", config.data, config.len);
    ck_assert_int_eq(PROCESS_RUN(&p, 60, "doctor", "-m", dir, "--db", test_path("none.db")), 3);
    expect_in(p.out, "tensor 'model.layers.4.");
    test_file("one.jsonl", ONE, strlen(ONE));
    ck_assert_int_eq(PROCESS_RUN(&p, 60, "run", "-i", test_path("one.jsonl"), "-o",
                                 test_path("none.out"), "--db", test_path("none.db"), "-m", dir),
                     3);
    expect_in(p.err, "tensor 'model.layers.4.");
    ck_assert_int_ne(access(test_path("none.db"), F_OK), 0); /* nothing was taken in */
    buf_fini(&config);
    buf_fini(&weights);
}
END_TEST

/* --- the file
 * ----------------------------------------------------------------------------------------------------
 */

START_TEST(a_file_that_is_no_database_is_refused_untouched)
{
    const char *path = write_text("notes.txt", "my notes, not a database\n");
    struct process p;
    struct buf b;

    ck_assert_int_eq(PROCESS_RUN(&p, 20, "broker", "--db", path), 3);
    expect_in(p.err, "not a database");
    b = process_read(path);
    ck_assert_str_eq(b.data, "my notes, not a database\n");
    buf_fini(&b);
    ck_assert_int_eq(PROCESS_RUN(&p, 20, "sql", "--db", path, "select 1"), 3);
}
END_TEST

START_TEST(a_second_broker_on_the_file_refuses_to_start)
{
    const char *db = test_path("two.db");
    struct process first, second;

    PROCESS_START(&first, NULL, "broker", "--db", db);
    while (process_sql(db, "SELECT value FROM meta WHERE key='epoch'") < 1)
        process_sleep_ms(10);
    ck_assert_int_eq(PROCESS_RUN(&second, 20, "broker", "--db", db), 3);
    expect_in(second.err, "another broker");
    process_kill(&first, SIGTERM);
}
END_TEST

/* --- commands
 * ----------------------------------------------------------------------------------------------------
 */

START_TEST(exit_codes_tell_usage_from_environment)
{
    const char *db = test_path("no.db");
    struct process p;

    ck_assert_int_eq(PROCESS_RUN(&p, 20, "no-such-command"), 2);
    ck_assert_int_eq(PROCESS_RUN(&p, 20, "run", "--no-such-flag"), 2);
    ck_assert_int_eq(PROCESS_RUN(&p, 20, "worker", "-m", MODEL, "--max-num-seqs", "0"), 2);
    expect_in(p.err, "max-num-seqs");
    expect_in(p.err, "4096");
    ck_assert_int_eq(PROCESS_RUN(&p, 20, "submit", "examples/messy_cells.jsonl", "--db", db), 3);
    expect_in(p.err, "nightmill broker --db");
    ck_assert_int_eq(
        PROCESS_RUN(&p, 20, "run", "-i", "no-such-file", "-o", test_path("x"), "-m", MODEL), 3);
    expect_in(p.err, "no-such-file");
    ck_assert_int_eq(PROCESS_RUN(&p, 20, "run", "-i", "examples/messy_cells.jsonl", "-o",
                                 test_path("x"), "-m", "no-such-model"),
                     3);
    expect_in(p.err, "no-such-model");
    ck_assert_int_eq(PROCESS_RUN(&p, 20, "status", "--db", db), 3);
    ck_assert_int_eq(PROCESS_RUN(&p, 20, "version"), 0);
    expect_in(p.out, "nightmill 0.");
}
END_TEST

START_TEST(a_model_that_nobody_holds_is_named_and_its_rows_wait)
{
    const char *db = test_path("model.db");
    struct process broker, worker, p;

    PROCESS_START(&broker, NULL, "broker", "--db", db);
    PROCESS_START(&worker, NULL, "worker", "--db", db, "-m", MODEL);
    ck_assert_int_eq(PROCESS_RUN(&p, 60, "submit", write_text("w.jsonl", GOOD("a") "\n"), "--db",
                                 db, "--batch", "waits", "--model", "llama-405b"),
                     0);
    ck_assert_int_eq(PROCESS_RUN(&p, 60, "submit", "examples/messy_cells.jsonl", "--db", db,
                                 "--batch", "runs", "--model", "tidy", "--wait"),
                     0);
    ck_assert_int_eq(process_sql(db, "SELECT ready FROM progress WHERE batch='waits'"), 1);
    ck_assert_int_eq(PROCESS_RUN(&p, 20, "status", "--db", db), 0);
    expect_in(p.err, "llama-405b");
    ck_assert_int_eq(PROCESS_RUN(&p, 20, "doctor", "--db", db), 0);
    expect_in(p.out, "llama-405b");
    process_kill(&worker, SIGTERM);
    process_kill(&broker, SIGTERM);
    ck_assert_int_eq(PROCESS_RUN(&p, 60, "run", "-i", write_text("w.jsonl", GOOD("a") "\n"), "--db",
                                 db, "--batch", "waits", "-m", MODEL),
                     2);
    expect_in(p.err, "llama-405b");
}
END_TEST

START_TEST(a_broker_does_not_listen_beyond_the_loopback)
{
    struct process p;

    ck_assert_int_eq(
        PROCESS_RUN(&p, 20, "broker", "--db", test_path("tcp.db"), "--bind", "tcp://0.0.0.0:5599"),
        2);
    expect_in(p.err, "loopback");
}
END_TEST

START_TEST(an_output_that_would_overwrite_something_is_refused_before_any_work)
{
    const char *in = write_text("o.jsonl", GOOD("a") "\n"), *db = test_path("o.db");
    struct process p;
    struct buf b;

    ck_assert_int_eq(PROCESS_RUN(&p, 20, "run", "-i", in, "-o", in, "--db", db, "-m", MODEL), 2);
    expect_in(p.err, "input's place");
    ck_assert_int_eq(PROCESS_RUN(&p, 20, "run", "-i", in, "-o", db, "--db", db, "-m", MODEL), 2);
    ck_assert_int_eq(
        PROCESS_RUN(&p, 20, "run", "-i", in, "-o", test_path("no/dir"), "--db", db, "-m", MODEL),
        3);
    ck_assert_int_eq(process_sql(db, "SELECT count(*) FROM job"), -1); /* it was never made */
    b = process_read(in);
    ck_assert_str_eq(b.data, GOOD("a") "\n");
    buf_fini(&b);
    ck_assert_int_eq(
        PROCESS_RUN(&p, 60, "run", "-i", in, "-o", "/dev/null", "--db", db, "-m", MODEL), 0);
}
END_TEST

START_TEST(a_value_that_does_not_fit_the_model_is_wrong_usage_of_run)
{
    struct process p;

    ck_assert_int_eq(PROCESS_RUN(&p, 60, "run", "-i", write_text("u.jsonl", GOOD("a") "\n"), "--db",
                                 test_path("u.db"), "-m", MODEL, "--tensor-parallel-size", "3"),
                     2);
    expect_in(p.err, "tensor-parallel-size 3 does not divide 4 attention heads");
}
END_TEST

START_TEST(run_gives_up_when_its_worker_keeps_ending_without_headway)
{
    const char *db = test_path("ends.db");
    struct process p;

    /* The fault is in every worker: it dies with its first result in hand. */
    PROCESS_START(&p, "result:1:kill", "run", "-i", write_text("e.jsonl", GOOD("a") "\n"), "--db",
                  db, "-m", MODEL);
    ck_assert_int_eq(process_wait(&p, 90), 3);
    expect_in(p.err, "no worker runs here");
    ck_assert_int_eq(process_sql(db, "SELECT ready FROM progress"), 1);
    ck_assert_int_eq(PROCESS_RUN(&p, 60, "run", "-i", write_text("e.jsonl", GOOD("a") "\n"), "--db",
                                 db, "-m", MODEL),
                     0);
}
END_TEST

START_TEST(an_interrupted_run_says_130_and_goes_on_later)
{
    const char *db = test_path("int.db"), *out = test_path("int.jsonl");
    struct process p;

    PROCESS_START(&p, NULL, "run", "-i", "examples/messy_cells.jsonl", "-o", out, "--db", db, "-m",
                  MODEL, "--threads", "1");
    while (process_sql(db, "SELECT count(*) FROM result") < 100)
        process_sleep_ms(5);
    kill(p.pid, SIGINT);
    ck_assert_int_eq(process_wait(&p, 30), 130);
    ck_assert_int_ne(access(out, F_OK), 0); /* no half output under the wanted name */
    ck_assert_int_eq(PROCESS_RUN(&p, 120, "run", "-i", "examples/messy_cells.jsonl", "-o", out,
                                 "--db", db, "-m", MODEL),
                     0);
    ck_assert_int_eq(process_sql(db, "SELECT done FROM progress"), 2000);
}
END_TEST

START_TEST(sql_reads_and_never_writes)
{
    const char *db = test_path("sql.db");
    struct process p;

    ck_assert_int_eq(PROCESS_RUN(&p, 60, "run", "-i", write_text("q.jsonl", GOOD("a") "\n"), "--db",
                                 db, "-m", MODEL),
                     0);
    ck_assert_int_eq(
        PROCESS_RUN(&p, 20, "sql", "--db", db, "--json", "SELECT custom_id, text FROM results"), 0);
    expect_in(p.out, "{\"custom_id\":\"a\",\"text\":\"2021-04-03\"}");
    ck_assert_int_ge(process_sql(db, "SELECT count(*) FROM event WHERE text LIKE 'joined%'"), 1);
    ck_assert_int_eq(PROCESS_RUN(&p, 20, "sql", "--db", db, "DELETE FROM job"), 2);
    ck_assert_int_eq(process_sql(db, "SELECT count(*) FROM job"), 1);
    ck_assert_int_eq(PROCESS_RUN(&p, 20, "results", "q.jsonl", "--db", db, "--format", "csv"), 0);
    expect_in(p.out, "2021-04-03");
    ck_assert_int_eq(PROCESS_RUN(&p, 20, "status", "--db", db, "--json"), 0);
    expect_in(p.out, "\"done\":1");
    expect_in(p.out, "\"last_done_ms\":");
}
END_TEST

START_TEST(output_that_cannot_be_written_is_no_success)
{
    const char *db = test_path("full.db"), *said = test_path("said"), *good = test_path("good.out");
    char line[4096];
    struct process p;

    ck_assert_int_eq(PROCESS_RUN(&p, 60, "run", "-i", write_text("f.jsonl", GOOD("a") "\n{bad\n"),
                                 "--db", db, "-m", MODEL, "-o", good, "--errors",
                                 test_path("bad.out")),
                     1);
    expect_in(p.err, "1 answers in ");
    expect_in(p.err, "1 errors in ");
    snprintf(line, sizeof line, "'%s' sql --db '%s' 'SELECT 1' >/dev/full 2>'%s'",
             process_program(), db, said);
    ck_assert_int_eq(WEXITSTATUS(system(line)), 3);
    expect_in(said, "standard output cannot be written");
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("rows");
    TCase *t = tcase_create("rows");

    tcase_set_timeout(t, 300);
    tcase_add_test(t, each_bad_line_is_one_error_row_and_the_others_are_done);
    tcase_add_test(t, too_long_a_line_or_a_prompt_is_refused_with_both_numbers);
    tcase_add_test(t, output_that_is_no_text_is_marked_and_its_token_ids_are_kept);
    tcase_add_test(t, strict_submits_nothing_when_one_line_is_bad);
    tcase_add_test(t, output_that_cannot_be_written_is_no_success);
    tcase_add_test(t, the_same_file_again_adds_nothing_and_a_mended_one_only_what_was_bad);
    tcase_add_test(t, another_body_under_the_same_id_needs_replace);
    tcase_add_test(t, a_row_too_large_for_every_instance_fails_with_both_numbers);
    tcase_add_test(t, a_row_that_does_not_fit_here_runs_where_it_fits);
    tcase_add_test(t, a_batch_of_1_and_of_64_give_the_same_tokens);
    tcase_add_test(t, a_lying_model_file_is_refused_with_the_tensor_and_the_number);
    tcase_add_test(t, a_file_that_is_no_database_is_refused_untouched);
    tcase_add_test(t, a_second_broker_on_the_file_refuses_to_start);
    tcase_add_test(t, exit_codes_tell_usage_from_environment);
    tcase_add_test(t, a_model_that_nobody_holds_is_named_and_its_rows_wait);
    tcase_add_test(t, a_broker_does_not_listen_beyond_the_loopback);
    tcase_add_test(t, an_output_that_would_overwrite_something_is_refused_before_any_work);
    tcase_add_test(t, a_value_that_does_not_fit_the_model_is_wrong_usage_of_run);
    tcase_add_test(t, run_gives_up_when_its_worker_keeps_ending_without_headway);
    tcase_add_test(t, an_interrupted_run_says_130_and_goes_on_later);
    tcase_add_test(t, sql_reads_and_never_writes);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
