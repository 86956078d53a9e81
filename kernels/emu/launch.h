/* launch.h - a kernel with its arguments: run now, or kept for a graph.
 *
 *   LAUNCH(kernel, grid, block, dynamic_bytes, stream, args...)
 *
 * A template kernel with a comma in its name stands in parentheses: LAUNCH((k<float, 128>), ...).
 * Arguments are taken by value, as the device takes them; what a device refuses is an error of
 * cudaGetLastError, and stderr names the kernel and the number.
 */
#ifndef KERNELS_EMU_LAUNCH_H
#define KERNELS_EMU_LAUNCH_H

#include <tuple>

#include "kernels/emu/fiber.h"
#include "kernels/emu/runtime.h"

/* A piece of a stream's work.  run does it, drop frees it. */
struct emu_node {
    int (*run)(struct emu_node *node);
    void (*drop)(struct emu_node *node);
    struct emu_node *next;
};

/* Does the node and drops it, now or when the stream is waited for; under capture it is kept. */
cudaError_t emu_submit(cudaStream_t stream, struct emu_node *node);
/* Whether a device can reach what a kernel's argument points to; if not, as above. */
bool emu_argument_fits(const char *kernel, int i, const void *p);
/* Whether work given to the stream now is done later (a captured stream does not do it at all). */
bool emu_puts_off(cudaStream_t stream);
/* Whether a device would take the launch; if not, the error is left for cudaGetLastError. */
bool emu_launch_fits(const struct emu_work *work, const void *kernel);

template <class T> static inline bool emu_argument_fits(const char *, int, const T &)
{
    return true;
}

template <class T> static inline bool emu_argument_fits(const char *kernel, int i, T *const &p)
{
    return emu_argument_fits(kernel, i, (const void *)p);
}

template <class... P> struct emu_call {
    struct emu_node node; /* first */
    struct emu_work work;
    void (*kernel)(P...);
    std::tuple<P...> args;

    static void call(const void *self_)
    {
        const emu_call *self = (const emu_call *)self_;

        std::apply(self->kernel, self->args);
    }

    static int run(struct emu_node *node)
    {
        emu_call *self = (emu_call *)(void *)node;

        self->work.args = self;
        return emu_run(&self->work);
    }

    static void drop(struct emu_node *node)
    {
        delete (emu_call *)(void *)node;
    }
};

template <class... P> struct emu_launcher {
    void (*kernel)(P...);
    struct emu_work work;
    cudaStream_t stream;

    template <class... A> void operator()(A... args) const
    {
        typedef emu_call<P...> call;
        int i = 0;

        if (!emu_launch_fits(&work, (const void *)kernel)) return;
        if (!(emu_argument_fits(work.name, ++i, args) && ...)) return;
        call *c =
            new call{{call::run, call::drop, NULL}, work, kernel, std::tuple<P...>((P)args...)};
        c->work.call = call::call;
        emu_submit(stream, &c->node);
    }
};

template <class... P>
static inline emu_launcher<P...> emu_launch(const char *name, void (*kernel)(P...), dim3 grid,
                                            dim3 block, size_t dynamic_bytes, cudaStream_t stream)
{
    return {kernel, {name, grid, block, dynamic_bytes, NULL, NULL}, stream};
}

#define LAUNCH(kernel, grid, block, dynamic_bytes, stream, ...)                                    \
    emu_launch(#kernel, kernel, grid, block, dynamic_bytes, stream)(__VA_ARGS__)

#endif
