/* nvidia_library.c - opens a library of NVIDIA's wherever this machine has it. */
#include "kernels/nvidia_library.h"

#include <dlfcn.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The first such file of pip's below prefix that opens. */
static void *open_below(const char *prefix, const char *name)
{
    char pattern[PATH_MAX];
    void *lib = NULL;
    glob_t found;

    if (snprintf(pattern, sizeof pattern, "%s/lib*/python3*/*-packages/nvidia/*/lib/%s", prefix,
                 name) >= (int)sizeof pattern)
        return NULL;
    if (glob(pattern, 0, NULL, &found)) return NULL;
    for (size_t i = 0; i < found.gl_pathc && !lib; i++)
        lib = dlopen(found.gl_pathv[i], RTLD_NOW | RTLD_LOCAL);
    globfree(&found);
    return lib;
}

/* Below DIR of each DIR/bin in the path that has a python3. */
static void *open_beside_python(const char *name)
{
    const char *at = getenv("PATH");
    void *lib = NULL;

    while (at && *at && !lib) {
        const int n = (int)strcspn(at, ":");
        char path[PATH_MAX];

        if (snprintf(path, sizeof path, "%.*s/python3", n, at) < (int)sizeof path &&
            !access(path, X_OK)) {
            path[n] = '\0';
            if (strrchr(path, '/')) *strrchr(path, '/') = '\0';
            lib = open_below(path, name);
        }
        at += n + (at[n] == ':');
    }
    return lib;
}

void *nvidia_library_open(const char *name, char *why, size_t size)
{
    static const char *const PREFIXES[] = {"VIRTUAL_ENV", "CONDA_PREFIX"};
    const char *home = getenv("HOME");
    void *lib = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    char local[PATH_MAX];

    if (!lib) snprintf(why, size, "%s", dlerror());
    for (size_t i = 0; i < sizeof PREFIXES / sizeof PREFIXES[0] && !lib; i++)
        if (getenv(PREFIXES[i])) lib = open_below(getenv(PREFIXES[i]), name);
    if (!lib) lib = open_beside_python(name);
    if (!lib && home && snprintf(local, sizeof local, "%s/.local", home) < (int)sizeof local)
        lib = open_below(local, name);
    return lib;
}
