/* test.c - directories, files and data for the suites. */
#include "tests/test.h"

#include <errno.h>
#include <ftw.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[256];
static pid_t dir_owner;

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)st, (void)kind, (void)ftw;
    return remove(path);
}

static void remove_dir(void)
{
    if (dir[0] && dir_owner == getpid()) nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

const char *test_dir(void)
{
    if (!dir[0] || dir_owner != getpid()) {
        const char *tmp = getenv("TMPDIR");

        snprintf(dir, sizeof dir, "%s/nightmill-XXXXXX", tmp && strlen(tmp) < 200 ? tmp : "/tmp");
        if (!mkdtemp(dir)) {
            fprintf(stderr, "mkdtemp %s: %s\n", dir, strerror(errno));
            abort();
        }
        dir_owner = getpid();
        atexit(remove_dir);
    }
    return dir;
}

const char *test_path(const char *name)
{
    static char path[64][512];
    static unsigned next;
    char *p = path[next++ % 64];

    snprintf(p, sizeof path[0], "%s/%s", test_dir(), name);
    return p;
}

const char *test_file(const char *name, const void *data, size_t len)
{
    const char *path = test_path(name);
    FILE *f = fopen(path, "wb");

    ck_assert_msg(f != NULL, "%s: %s", path, strerror(errno));
    ck_assert_uint_eq(fwrite(data, 1, len, f), len);
    ck_assert_int_eq(fclose(f), 0);
    return path;
}

const char *test_data(const char *name)
{
    static char path[8][512];
    static unsigned next;
    const char *root = getenv("NIGHTMILL_TEST_DATA");
    char *p = path[next++ % 8];

    snprintf(p, sizeof path[0], "%s/%s", root && *root ? root : "../shared/data", name);
    return p;
}

bool test_has_data(void)
{
    static bool told;

    if (!access(test_data("models/stories260K/hf/config.json"), R_OK)) return true;
    if (!told) printf("SKIPPED: suites on shared data, nothing at %s\n", test_data(""));
    told = true;
    if (getenv("REQUIRE_DATA")) exit(EXIT_FAILURE);
    return false;
}

int test_rounds(int few, int many)
{
    const char *chaos = getenv("CHAOS");

    return chaos && *chaos ? many : few;
}
