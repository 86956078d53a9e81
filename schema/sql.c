/* sql.c - the schema's text, compiled in from the .sql files beside this one. */
#include "schema/sql.h"

#define TEXT(name, file)                                                                           \
    __asm__(".section .rodata\n" #name ":\n.incbin \"" file "\"\n.byte 0\n.previous\n");           \
    extern const char name[] __attribute__((visibility("hidden")))

TEXT(schema_001_init, "schema/001_init.sql");
TEXT(schema_002_control, "schema/002_control.sql");
TEXT(schema_003_device, "schema/003_device.sql");
TEXT(schema_004_plan, "schema/004_plan.sql");
TEXT(schema_views_text, "schema/views.sql");

const char *const SCHEMA_MIGRATIONS[SCHEMA_VERSION] = {schema_001_init, schema_002_control,
                                                       schema_003_device, schema_004_plan};

const char *schema_views(void)
{
    return schema_views_text;
}
