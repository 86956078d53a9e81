/* plugin.c - finds the CUDA plug-in and opens it. */
#include "kernels/plugin.h"

#include <dlfcn.h>
#include <limits.h>
#include <link.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernels/nvidia_library.h"

#define FILE_NAME    "libnightmill-cuda.so"
#define MOST_MISSING 4 /* libraries that are looked for */

/* The folder of the running program; "." where the system does not tell. */
static void program_folder(char *out, size_t size)
{
    const ssize_t n = readlink("/proc/self/exe", out, size - 1);
    char *slash;

    out[n > 0 ? n : 0] = 0;
    slash = strrchr(out, '/');
    if (slash)
        *slash = 0;
    else
        snprintf(out, size, ".");
}

/* Does the file end before its last table does?  The loader reads a library that was copied in part
 * beyond its end, which is a signal.  Other files are left to the loader. */
static bool is_cut(const char *path)
{
    FILE *f = fopen(path, "rb");
    ElfW(Ehdr) h;
    bool cut = false;

    if (!f) return false;
    if (fread(&h, sizeof h, 1, f) == 1 && !memcmp(h.e_ident, ELFMAG, SELFMAG) &&
        !fseek(f, 0, SEEK_END))
        cut = (uint64_t)ftell(f) < h.e_shoff ||
              (uint64_t)ftell(f) - h.e_shoff < (uint64_t)h.e_shnum * h.e_shentsize;
    fclose(f);
    return cut;
}

/* NULL, and why.  A library of CUDA's that dlopen misses ("libX.so.N: cannot open ...") may be in a
 * folder where the system does not look; once open, it is found by its name. */
static void *open_file(const char *path, char *why, size_t size)
{
    char other[64];
    void *lib = NULL;

    if (is_cut(path)) {
        snprintf(why, size, "%s: the file is cut short", path);
        return NULL;
    }
    for (int tries = 0; tries < MOST_MISSING; tries++) {
        if ((lib = dlopen(path, RTLD_NOW | RTLD_LOCAL))) return lib;
        snprintf(why, size, "%s", dlerror());
        if (sscanf(why, "libcu%40[^: ]:", other + 5) != 1) break;
        memcpy(other, "libcu", 5);
        if (!nvidia_library_open(other, why, size)) break;
    }
    return NULL;
}

/* NULL when it does not open; why is what dlopen says of the last one that is there. */
static void *open_library(char *why, size_t size)
{
    const char *given = getenv(PLUGIN_ENV);
    char folder[PATH_MAX], path[PATH_MAX + sizeof FILE_NAME + 8];
    void *lib = NULL;

    snprintf(why, size, "%s is not beside the program", FILE_NAME);
    if (given && *given) return open_file(given, why, size);
    program_folder(folder, sizeof folder);
    for (int i = 0; i < 2 && !lib; i++) {
        snprintf(path, sizeof path, i ? "%s/lib/" FILE_NAME : "%s/" FILE_NAME, folder);
        if (!access(path, F_OK)) lib = open_file(path, why, size);
    }
    return lib;
}

const struct plugin *plugin_open(struct errmsg *e)
{
    const struct plugin *p;
    plugin_fn *fn;
    char why[400];
    void *lib = open_library(why, sizeof why);

    if (!lib) {
        err_set(e, ERR_UNSUPPORTED, "no CUDA plug-in: %s", why);
        return NULL;
    }
    *(void **)&fn = dlsym(lib, PLUGIN_SYMBOL);
    p = fn ? fn() : NULL;
    if (p && p->version == PLUGIN_VERSION) return p;
    err_set(e, ERR_UNSUPPORTED, "the CUDA plug-in has version %d, and this program needs %d",
            p ? p->version : 0, PLUGIN_VERSION);
    dlclose(lib);
    return NULL;
}
