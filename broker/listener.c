/* listener.c - where the broker listens, and to whom. */
#include "broker/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

#include "base/clock.h"
#include "broker/dbfile.h"
#include "schema/wire.h"

static bool is_tcp(const char *address)
{
    return !strncmp(address, "tcp://", 6);
}

/* Only what is spelled as an address of the loopback: a name can mean anything. */
static bool is_loopback(const char *address)
{
    const char *host = address + 6, *colon = strrchr(host, ':');
    struct in_addr in;
    char text[64];

    if (!colon) return false;
    snprintf(text, sizeof text, "%.*s", (int)(colon - host), host);
    if (!strcmp(text, "localhost") || !strcmp(text, "[::1]") || !strcmp(text, "::1")) return true;
    return inet_pton(AF_INET, text, &in) == 1 && ntohl(in.s_addr) >> 24 == 127;
}

/* --- the socket beside the file --------------------------------------------------------------- */

/* H3.  The lock is ours, so a socket there is dead; anything else there is somebody's file, and
 * ZeroMQ would remove it too. */
static int clear_place(const char *path, struct errmsg *e)
{
    struct stat st;

    if (lstat(path, &st)) return ERR_OK;
    if (!S_ISSOCK(st.st_mode))
        return err_set(e, ERR_IO, "%s: there already, and not a socket", path);
    unlink(path);
    return ERR_OK;
}

static int bind_local(struct listener *l, struct errmsg *e)
{
    int rc = clear_place(l->local + 6, e);
    mode_t mask;

    if (rc) return rc;
    mask = umask(0177); /* H2: a chmod after the bind would come too late */
    if (zmq_bind(l->socket, l->local))
        rc = err_set(e, ERR_IO, "%s: %s", l->local, zmq_strerror(zmq_errno()));
    umask(mask);
    l->has_local = !rc;
    return rc;
}

/* --- the address for others ------------------------------------------------------------------- */

static int find_keys(char out[PATH_MAX], const char *db, const char *keys, struct errmsg *e)
{
    int n = keys ? snprintf(out, PATH_MAX, "%s", keys) : snprintf(out, PATH_MAX, "%s.keys", db);

    if (n >= PATH_MAX) return err_set(e, ERR_ARG, "the path of the keys is too long");
    if (!keys && access(out, F_OK)) out[0] = '\0';
    return ERR_OK;
}

/* H1 */
static int check_address(const char *address, const char *keys, struct errmsg *e)
{
    if (!is_tcp(address))
        return err_set(e, ERR_ARG, "%s: neither an ipc:// nor a tcp:// address", address);
    if (!keys[0] && !is_loopback(address))
        return err_set(e, ERR_ARG,
                       "%s: refused beyond the loopback without keys; make one: nightmill keys "
                       "make NAME --role worker",
                       address);
    return ERR_OK;
}

static int bind_tcp(struct listener *l, const char *address, const char *keys, struct errmsg *e)
{
    size_t size = sizeof l->address;
    int rc;

    if (keys[0] && (rc = zap_open(&l->zap, l->zmq, keys, clock_wall_ms(), e))) return rc;
    if (l->zap && (rc = zap_guard(l->zap, l->socket, e))) return rc;
    if (zmq_bind(l->socket, address))
        return err_set(e, ERR_IO, "%s: %s", address, zmq_strerror(zmq_errno()));
    zmq_getsockopt(l->socket, ZMQ_LAST_ENDPOINT, l->address,
                   &size); /* a port of * has a number now */
    return ERR_OK;
}

/* --- opened ----------------------------------------------------------------------------------- */

static int open_socket(struct listener *l, struct errmsg *e)
{
    int one = 1, linger = 200, none = 0, ipv6 = 1;
    int64_t most = WIRE_MAX_BYTES;

    l->zmq = zmq_ctx_new();
    l->socket = l->zmq ? zmq_socket(l->zmq, ZMQ_ROUTER) : NULL;
    if (!l->socket) return err_set(e, ERR_NOMEM, "ZeroMQ: %s", zmq_strerror(zmq_errno()));
    zmq_setsockopt(l->socket, ZMQ_ROUTER_MANDATORY, &one, sizeof one);
    /* H4: no ZMQ_ROUTER_HANDOVER. */
    zmq_setsockopt(l->socket, ZMQ_LINGER, &linger, sizeof linger);
    zmq_setsockopt(l->socket, ZMQ_SNDHWM, &none,
                   sizeof none); /* leases are bounded by what workers ask for */
    zmq_setsockopt(l->socket, ZMQ_MAXMSGSIZE, &most, sizeof most);
    if (l->address[6] == '[') zmq_setsockopt(l->socket, ZMQ_IPV6, &ipv6, sizeof ipv6);
    return ERR_OK;
}

int listener_open(struct listener *l, const char *db, const char *bind, const char *keys,
                  struct errmsg *e)
{
    bool own_place = bind && !strncmp(bind, "ipc://", 6);
    char dir[PATH_MAX] = "";
    int rc = ERR_OK;

    if (own_place)
        snprintf(l->local, sizeof l->local, "%s", bind);
    else
        rc = dbfile_address(db, l->local, sizeof l->local, e);
    if (rc) return rc;
    snprintf(l->address, sizeof l->address, "%s", bind ? bind : l->local);
    if (bind && !own_place &&
        ((rc = find_keys(dir, db, keys, e)) || (rc = check_address(bind, dir, e))))
        return rc;
    if ((rc = open_socket(l, e)) || (rc = bind_local(l, e))) return rc;
    /* After the local one, which keeps what was set before: no keys. */
    return bind && !own_place ? bind_tcp(l, bind, dir, e) : ERR_OK;
}

void listener_close(struct listener *l)
{
    zap_close(&l->zap);
    if (l->socket) zmq_close(l->socket);
    if (l->zmq) zmq_ctx_term(l->zmq);
    if (l->has_local) unlink(l->local + 6);
    memset(l, 0, sizeof *l);
}

enum role listener_role(const struct listener *l, const char *user)
{
    return l->zap && user[0] ? zap_role(l->zap, user) : ROLE_ADMIN;
}
