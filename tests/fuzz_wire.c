/* fuzz_wire.c - any bytes as a message: the header, the walk, the parse and every look-up.
 *
 * Held besides memory safety: what the walk takes, MessagePack takes too, down to the last byte;
 * and a map that was taken is not deeper than WIRE_MAX_DEPTH.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "schema/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_depth(const msgpack_object *o, int depth)
{
    bool nests = o->type == MSGPACK_OBJECT_MAP || o->type == MSGPACK_OBJECT_ARRAY;

    assert(depth <= WIRE_MAX_DEPTH + 1 && (!nests || depth <= WIRE_MAX_DEPTH));
    for (uint32_t i = 0; o->type == MSGPACK_OBJECT_ARRAY && i < o->via.array.size; i++)
        check_depth(&o->via.array.ptr[i], depth + 1);
    for (uint32_t i = 0; o->type == MSGPACK_OBJECT_MAP && i < o->via.map.size; i++) {
        check_depth(&o->via.map.ptr[i].key, depth + 1);
        check_depth(&o->via.map.ptr[i].val, depth + 1);
    }
}

static void look_up(const msgpack_object *map)
{
    static const char *const KEYS[] = {"a", "held", "results", "rows", "jobs", "uuid", ""};
    char text[8];

    for (size_t i = 0; i < sizeof KEYS / sizeof KEYS[0]; i++) {
        const msgpack_object_array *list = wire_array(map, KEYS[i]);
        struct wire_text t = wire_str(map, KEYS[i]);

        assert(t.at);
        wire_copy(map, KEYS[i], text, sizeof text);
        assert(memchr(text, '\0', sizeof text));
        (void)wire_int(map, KEYS[i], 0);
        for (uint32_t k = 0; list && k <= list->size; k++) {
            (void)wire_at_int(list, k, 0);
            (void)wire_at_str(list, k);
            (void)wire_at_array(list, k);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wire_header h = {WIRE_MAGIC, WIRE_VERSION, WIRE_PING, 1};
    struct wire_msg m = {0};
    struct errmsg e;
    uint8_t *own;
    int walked;

    /* As it is: header and map.  The answer is a code, whatever it is. */
    if (size >= sizeof h) {
        (void)wire_parse(&m, data, sizeof h, data + sizeof h, size - sizeof h, &e);
        wire_msg_fini(&m);
        memset(&m, 0, sizeof m);
    }
    /* Behind a good header, in memory of exactly its size. */
    if (!(own = malloc(size ? size : 1))) return 0;
    memcpy(own, data, size);
    walked = wire_walk(own, size, &e);
    if (!wire_parse(&m, &h, sizeof h, own, size, &e)) {
        assert(!walked);
        check_depth(&m.map, 1);
        look_up(&m.map);
    } else {
        assert(walked || m.unpacked.data.type != MSGPACK_OBJECT_MAP);
    }
    wire_msg_fini(&m);
    free(own);
    return 0;
}
