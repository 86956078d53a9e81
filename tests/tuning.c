/* tuning.c - a shelf in memory, for what measuring found. */
#include "tests/tuning.h"

#include <string.h>

#include "tests/test.h"

static int place(const struct shelf *s, const char *name)
{
    for (int i = 0; i < s->n; i++)
        if (!strcmp(s->items[i].name, name)) return i;
    return -1;
}

static size_t find(void *self, const char *name, void *out, size_t cap)
{
    struct shelf *s = self;
    const int i = place(s, name);

    s->finds++;
    if (i < 0) return 0;
    memcpy(out, s->items[i].bytes, s->items[i].len < cap ? s->items[i].len : cap);
    return s->items[i].len;
}

static void keep(void *self, const char *name, const void *bytes, size_t len)
{
    struct shelf *s = self;
    int i = place(s, name);

    s->keeps++;
    ck_assert_uint_le(strlen(name), 40);
    ck_assert_uint_eq(strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-"), strlen(name));
    ck_assert_uint_le(len, SHELF_BYTES);
    if (i < 0) {
        ck_assert_int_lt(s->n, SHELF_ITEMS);
        strcpy(s->items[i = s->n++].name, name);
    }
    memcpy(s->items[i].bytes, bytes, len);
    s->items[i].len = len;
}

void shelf_init(struct shelf *s)
{
    memset(s, 0, sizeof *s);
    s->tuning = (struct tuning){s, find, keep};
}
