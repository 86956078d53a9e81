/* sql.h - the schema's text and version, compiled in.
 *
 * SCHEMA_APPLICATION_ID marks our files ("NMIL"); both numbers are read before anything else of a
 * file is touched.
 */
#ifndef SCHEMA_SQL_H
#define SCHEMA_SQL_H

#define SCHEMA_APPLICATION_ID 0x4E4D494C
#define SCHEMA_VERSION        4

/* Migration i takes a file from version i to i + 1. */
extern const char *const SCHEMA_MIGRATIONS[SCHEMA_VERSION];
const char *schema_views(void);

#endif
