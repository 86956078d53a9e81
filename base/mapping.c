/* mapping.c - a file, mapped read-only. */
#include "base/mapping.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static int map_whole(struct mapping *m, int fd, const char *path, size_t min, struct errmsg *e)
{
    struct stat st;
    void *at;

    if (fstat(fd, &st)) return err_set(e, ERR_IO, "%s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode)) return err_set(e, ERR_FORMAT, "%s: not a regular file", path);
    if ((uintmax_t)st.st_size < min)
        return err_set(e, ERR_FORMAT, "%s: %lld bytes, too short: at least %zu are needed", path,
                       (long long)st.st_size, min);
    at = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (at == MAP_FAILED) return err_set(e, ERR_IO, "%s: mmap: %s", path, strerror(errno));
    m->at = at;
    m->size = (size_t)st.st_size;
    return ERR_OK;
}

int mapping_open(struct mapping *m, const char *path, size_t min, struct errmsg *e)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC), rc;

    assert(min > 0);
    memset(m, 0, sizeof *m);
    if (fd < 0) return err_set(e, ERR_IO, "%s: %s", path, strerror(errno));
    rc = map_whole(m, fd, path, min, e);
    close(fd);
    return rc;
}

struct mapping mapping_of(const void *bytes, size_t size)
{
    return (struct mapping){bytes, size, true};
}

void mapping_close(struct mapping *m)
{
    if (m->at && !m->borrowed) munmap((void *)(uintptr_t)m->at, m->size);
    memset(m, 0, sizeof *m);
}
