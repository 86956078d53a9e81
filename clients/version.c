/* version.c - nightmill version. */
#include <jansson.h>
#include <msgpack.h>
#include <sodium.h>
#include <sqlite3.h>
#include <stdio.h>
#include <zmq.h>

#include "clients/command.h"
#include "schema/sql.h"
#include "schema/wire.h"

int command_version(int argc, char **argv)
{
    int major, minor, patch;

    (void)argc, (void)argv;
    zmq_version(&major, &minor, &patch);
    printf("nightmill %s (%s)\n", NIGHTMILL_VERSION, NIGHTMILL_COMMIT);
    printf("schema %d, messages %d, SQLite %s, ZeroMQ %d.%d.%d, jansson %s, msgpack %s, libsodium "
           "%s\n",
           SCHEMA_VERSION, WIRE_VERSION, sqlite3_libversion(), major, minor, patch, JANSSON_VERSION,
           msgpack_version(), sodium_version_string());
    return EXIT_ALL_DONE;
}
