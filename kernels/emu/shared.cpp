/* shared.cpp - finds the thread-local memory of the program or library that this is a part of. */
#include "kernels/emu/shared.h"

#include <link.h>
#include <string.h>

/* Whether the loaded object holds this file's code. */
static bool is_ours(const struct dl_phdr_info *info)
{
    const ElfW(Addr) here = (ElfW(Addr))(void *)emu_shared_fill;

    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];

        if (p->p_type == PT_LOAD && here - info->dlpi_addr - p->p_vaddr < p->p_memsz) return true;
    }
    return false;
}

/* Behind what begins with values lies what begins as zeros. */
static int object_fill(struct dl_phdr_info *info, size_t, void *)
{
    if (!is_ours(info)) return 0;
    for (int i = 0; i < info->dlpi_phnum && info->dlpi_tls_data; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];

        if (p->p_type == PT_TLS)
            memset((char *)info->dlpi_tls_data + p->p_filesz, 0xFF, p->p_memsz - p->p_filesz);
    }
    return 1;
}

void emu_shared_fill(void)
{
    dl_iterate_phdr(object_fill, NULL);
}
