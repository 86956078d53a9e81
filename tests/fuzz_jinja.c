/* fuzz_jinja.c - any bytes as a chat template, rendered over a fixed set of chats.
 *
 * Held besides memory safety: a render ends soon (J1; libFuzzer's own limits on time and memory are
 * the judge), a failure says why, what is rendered is text, and a failed render leaves the output
 * as it was.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/utf8.h"
#include "model/jinja.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const CONTEXTS[] = {
    "{\"messages\": [{\"role\": \"system\", \"content\": \"Be \\u00e9\\u4e2d\"}, {\"role\": "
    "\"user\","
    " \"content\": \"  Hi <b> {{ x }}\\n\\n\"}, {\"role\": \"assistant\", \"content\": \"a,b-c\"}],"
    " \"add_generation_prompt\": true, \"bos_token\": \"<s>\", \"eos_token\": \"</s>\","
    " \"tools\": null, \"n\": 7, \"f\": -2.5, \"l\": [3, 1, 2, \"x\", null, true]}",
    "{\"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"text\", \"text\": \"q\"}]},"
    " {\"role\": \"assistant\", \"content\": null, \"tool_calls\": [{\"id\": \"1\", \"function\":"
    " {\"name\": \"f\", \"arguments\": {\"a\": [1, {\"b\": 2.5}]}}}]}], \"add_generation_prompt\":"
    " false, \"tools\": [{\"type\": \"function\", \"function\": {\"name\": \"f\", \"parameters\":"
    " {\"type\": \"object\", \"properties\": {\"a\": {\"type\": \"string\"}}, \"required\": []}}}],"
    " \"d\": {\"items\": 1, \"k\": {}}, \"s\": \"\"}",
};

static void render(const struct jinja *j, const char *context)
{
    json_t *vars = json_loads(context, 0, NULL);
    struct buf out = {0};
    struct errmsg e = {""};
    int rc;

    assert(vars);
    buf_adds(&out, "before");
    rc = jinja_render(j, vars, 1721995200, &out, &e);
    assert(out.len >= 6 && !memcmp(out.data, "before", 6));
    assert(rc ? e.text[0] && out.len == 6 : utf8_is_valid(out.data, out.len));
    buf_fini(&out);
    json_decref(vars);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct jinja *j = NULL;
    struct errmsg e = {""};

    if (jinja_open(&j, (const char *)data, size, &e)) {
        assert(!j && e.text[0]);
        return 0;
    }
    (void)jinja_content(j);
    for (size_t i = 0; i < sizeof CONTEXTS / sizeof CONTEXTS[0]; i++)
        render(j, CONTEXTS[i]);
    jinja_close(&j);
    return 0;
}
