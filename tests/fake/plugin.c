/* plugin.c - a plug-in that needs cufake. */
#include "kernels/plugin.h"

int cufake_version(void);
plugin_fn nightmill_plugin;

const struct plugin *nightmill_plugin(void)
{
    static struct plugin p;

    p.version = PLUGIN_VERSION * cufake_version();
    return &p;
}
