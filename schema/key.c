/* key.c - a CURVE key pair, and the file it is kept in. */
#include "schema/key.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

#define FILE_BYTES    4096
#define RECONNECT_MS  100 /* the first wait; a key that is refused would knock at this pace */
#define RECONNECT_MAX 2000

bool key_name_is_good(const char *name)
{
    size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");

    return n > 0 && n < KEY_NAME && !name[n] && name[0] != '.' && name[0] != '-';
}

int key_make(struct key *k, const char *name, enum role role, struct errmsg *e)
{
    memset(k, 0, sizeof *k);
    snprintf(k->name, sizeof k->name, "%s", name);
    k->role = role;
    if (zmq_curve_keypair(k->public_key, k->secret_key))
        return err_set(e, ERR_UNSUPPORTED, "this ZeroMQ makes no keys: %s",
                       zmq_strerror(zmq_errno()));
    return ERR_OK;
}

/* --- read ------------------------------------------------------------------------------------- */

/* The whole file as text; open_to: whether others may look into it. */
static int slurp(const char *path, char text[FILE_BYTES], bool *open_to, struct errmsg *e)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), rc = ERR_OK;
    struct stat st = {0};
    ssize_t n;

    if (fd < 0) return err_set(e, ERR_IO, "%s: %s", path, strerror(errno));
    n = fstat(fd, &st) ? -1 : read(fd, text, FILE_BYTES);
    if (n < 0)
        rc = err_set(e, ERR_IO, "%s: %s", path, strerror(errno));
    else if (!S_ISREG(st.st_mode) || n == FILE_BYTES || memchr(text, 0, (size_t)n))
        rc = err_set(e, ERR_FORMAT, "%s: not a key file", path);
    else
        text[n] = '\0';
    *open_to = st.st_mode & (S_IRWXO | S_IWGRP);
    close(fd);
    return rc;
}

static bool is_z85(const char *text)
{
    uint8_t raw[32];

    return strlen(text) == KEY_Z85 - 1 && zmq_z85_decode(raw, text);
}

static int check(const struct key *k, const char *path, bool open_to, struct errmsg *e)
{
    char own[KEY_Z85];

    if (!key_name_is_good(k->name) || !is_z85(k->public_key) ||
        (k->secret_key[0] && !is_z85(k->secret_key)) ||
        (k->broker_key[0] && !is_z85(k->broker_key)))
        return err_set(e, ERR_FORMAT, "%s: not a key file", path);
    if (!k->secret_key[0]) return ERR_OK;
    if (open_to) /* K2 */
        return err_set(e, ERR_ARG, "%s: holds a secret, and others may open it: chmod 600 %s", path,
                       path);
    if (zmq_curve_public(own, k->secret_key) || strcmp(own, k->public_key)) /* K3 */
        return err_set(e, ERR_FORMAT, "%s: the public key is not the secret key's", path);
    return ERR_OK;
}

int key_read(struct key *k, const char *path, struct errmsg *e)
{
    char text[FILE_BYTES], role[KEY_NAME] = "", *rest = text, *line;
    const struct {
        const char *word;
        char *to;
        size_t cap;
    } FIELDS[] = {{"name", k->name, sizeof k->name},
                  {"role", role, sizeof role},
                  {"public", k->public_key, sizeof k->public_key},
                  {"secret", k->secret_key, sizeof k->secret_key},
                  {"broker", k->broker_key, sizeof k->broker_key}};
    bool open_to = true;
    int rc = slurp(path, text, &open_to, e);

    memset(k, 0, sizeof *k);
    if (rc) return rc;
    while ((line = strsep(&rest, "\n"))) {
        size_t n = strcspn(line, " "), space = strspn(line + n, " ");

        for (size_t i = 0; i < sizeof FIELDS / sizeof FIELDS[0]; i++)
            if (n == strlen(FIELDS[i].word) && !memcmp(line, FIELDS[i].word, n))
                snprintf(FIELDS[i].to, FIELDS[i].cap, "%s", line + n + space);
    }
    k->role = role_from_name(role);
    if (role[0] && !k->role)
        return err_set(e, ERR_FORMAT, "%s: role '%s' is not known", path, role);
    return check(k, path, open_to, e);
}

/* --- written ---------------------------------------------------------------------------------- */

static int put_field(int fd, const char *word, const char *value)
{
    return value[0] && dprintf(fd, "%-7s %s\n", word, value) < 0 ? -1 : 0;
}

int key_write(const struct key *k, const char *path, struct errmsg *e)
{
    const char *slash = strrchr(path, '/');
    char name[PATH_MAX];
    int fd, rc = ERR_OK, dir = slash ? (int)(slash - path) + 1 : 0;

    /* Under a name that no reader looks at; the link then makes it appear whole. */
    if ((size_t)snprintf(name, sizeof name, "%.*s.%s.%d", dir, path, path + dir, (int)getpid()) >=
        sizeof name)
        return err_set(e, ERR_ARG, "%s: the path is too long", path);
    unlink(name);
    fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) return err_set(e, ERR_IO, "%s: %s", name, strerror(errno));
    if (put_field(fd, "name", k->name) ||
        put_field(fd, "role", k->role ? role_name(k->role) : "") ||
        put_field(fd, "public", k->public_key) || put_field(fd, "secret", k->secret_key) ||
        put_field(fd, "broker", k->broker_key) || fsync(fd))
        rc = err_set(e, ERR_IO, "%s: %s", name, strerror(errno));
    close(fd);
    if (!rc && link(name, path))
        rc = err_set(e, errno == EEXIST ? ERR_EXISTS : ERR_IO, "%s: %s", path, strerror(errno));
    unlink(name);
    return rc;
}

/* --- used ------------------------------------------------------------------------------------- */

int key_use(const char *file, const char *address, void *socket, struct errmsg *e)
{
    int first = RECONNECT_MS, most = RECONNECT_MAX, ipv6 = 1, rc;
    struct key k;

    if (!file || strncmp(address, "tcp://", 6)) return ERR_OK;
    if ((rc = key_read(&k, file, e))) return rc;
    if (!k.secret_key[0] || !k.broker_key[0])
        return err_set(e, ERR_ARG, "%s: not a member's key file", file);
    if (zmq_setsockopt(socket, ZMQ_CURVE_SERVERKEY, k.broker_key, KEY_Z85) ||
        zmq_setsockopt(socket, ZMQ_CURVE_PUBLICKEY, k.public_key, KEY_Z85) ||
        zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, k.secret_key, KEY_Z85))
        return err_set(e, ERR_UNSUPPORTED, "%s: %s", file, zmq_strerror(zmq_errno()));
    if (address[6] == '[') zmq_setsockopt(socket, ZMQ_IPV6, &ipv6, sizeof ipv6);
    zmq_setsockopt(socket, ZMQ_RECONNECT_IVL, &first, sizeof first);
    zmq_setsockopt(socket, ZMQ_RECONNECT_IVL_MAX, &most, sizeof most);
    return ERR_OK;
}
