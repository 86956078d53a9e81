/* render.c - nightmill render: messages in, the prompt text that the model sees out. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/opt.h"
#include "clients/command.h"
#include "clients/jsontext.h"
#include "clients/lines.h"
#include "clients/render_line.h"
#include "model/chat.h"
#include "model/model.h"

#define MAX_LINE_BYTES ((size_t)16 << 20)

struct config {
    const char *model;
    bool raw, no_generation_prompt;
};

#define AT(field) offsetof(struct config, field)
static const struct opt OPTS[] = {
    {"model", 'm', "MODEL", "the model (a directory or .gguf file) whose chat template is used",
     OPT_STR, AT(model), 0, 0},
    {"raw", 0, NULL, "the plain text of one prompt, not a JSON string a line", OPT_FLAG, AT(raw), 0,
     0},
    {"no-generation-prompt", 0, NULL, "end behind the last message: no opening of an answer",
     OPT_FLAG, AT(no_generation_prompt), 0, 0},
    {0}};
static const struct opt_command COMMAND = {
    "render",
    "[FILE|-]",
    "Shows the prompt text that a model sees: a chat in JSON a line in, a JSON string a line out. "
    "A "
    "line is an array of messages, an object with messages (and tools, chat_template_kwargs), or a "
    "line of a batch file. Only the chat template is read, no weights.",
    OPTS,
    0,
    1};

struct render {
    const struct config *config;
    struct chat *chat;
    struct render_line line;
    struct buf text, json;
    int64_t done, bad;
};

static int render_one(struct render *r, const struct line *l, struct errmsg *e)
{
    bool ask;
    int rc;

    if (l->too_long) return err_set(e, ERR_FORMAT, "%zu bytes, over %zu", l->len, MAX_LINE_BYTES);
    if ((rc = render_line_parse(&r->line, l->bytes, l->len, e))) return rc;
    ask = !r->config->no_generation_prompt && !r->line.no_generation_prompt;
    buf_clear(&r->text);
    return chat_render(r->chat, r->line.messages, ask, r->line.vars, &r->text, e);
}

static int write_text(struct render *r, struct errmsg *e)
{
    const struct buf *out = r->config->raw ? &r->text : &r->json;
    const char *text = r->text.data ? r->text.data : "";

    buf_clear(&r->json);
    if (!r->config->raw && (jsontext_add(&r->json, text, r->text.len) || buf_addc(&r->json, '\n')))
        return err_set(e, ERR_NOMEM, "no memory");
    if (out->len && fwrite(out->data, 1, out->len, stdout) != out->len)
        return err_set(e, ERR_IO, "standard output: %s", strerror(errno));
    return ERR_OK;
}

static int render_all(struct render *r, struct lines *lines, struct errmsg *e)
{
    struct line l;
    int rc;

    while (!(rc = lines_next(lines, &l, e))) {
        struct errmsg why = {""};

        if (r->config->raw && r->done)
            return err_set(e, ERR_ARG, "--raw is for one prompt, and line %lld is another",
                           (long long)l.number);
        rc = render_one(r, &l, &why);
        if (rc == ERR_NOMEM) return err_set(e, rc, "%s", why.text);
        if (rc) {
            fprintf(stderr, "nightmill render: line %lld: %s\n", (long long)l.number, why.text);
            r->bad++;
            if (!r->config->raw) fputs("null\n", stdout); /* line for line belongs together */
            continue;
        }
        r->done++;
        if ((rc = write_text(r, e))) return rc;
    }
    return rc == ERR_EMPTY ? ERR_OK : rc;
}

static int open_input(int *fd, const char *name, struct errmsg *e)
{
    *fd = name && strcmp(name, "-") ? open(name, O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
    return *fd < 0 ? err_set(e, ERR_IO, "%s: %s", name, strerror(errno)) : ERR_OK;
}

int command_render(int argc, char **argv)
{
    struct config c = {0};
    struct render r = {.config = &c};
    struct errmsg e = {{0}};
    struct lines *lines = NULL;
    const char *input = NULL;
    int fd = -1, rc = opt_parse(&COMMAND, &c, &input, argc, argv, &e);

    if (!rc && !c.model) rc = err_set(&e, ERR_ARG, "--model is missing: whose chat template?");
    if (!rc) rc = model_chat(&r.chat, c.model, &e);
    if (!rc) rc = open_input(&fd, input, &e);
    if (!rc) rc = lines_open(&lines, fd, MAX_LINE_BYTES, &e);
    if (!rc) rc = render_all(&r, lines, &e);
    lines_close(&lines);
    if (fd > STDIN_FILENO) close(fd);
    chat_close(&r.chat);
    render_line_fini(&r.line);
    buf_fini(&r.text);
    buf_fini(&r.json);
    if (rc) return command_fail("render", rc, &e);
    return r.bad ? EXIT_SOME_FAILED : EXIT_ALL_DONE;
}
