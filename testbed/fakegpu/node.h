/*
 * The node of the board that this process sees, and what every call of NVML does
 * with it: is the GPU there, does the board allow it, what is in force by now.
 *
 * node.c does it, nvml.c, power.c and clocks.c are the calls. Only what they mark
 * with API can be seen from outside of the library.
 */
#ifndef FAKEGPU_NODE_H
#define FAKEGPU_NODE_H

#include "board.h"

#define API __attribute__((visibility("default")))

/* nvmlReturn_t, as far as it is answered here. */
enum {
    SUCCESS = 0,
    UNINITIALIZED = 1,
    INVALID_ARGUMENT = 2,
    NOT_SUPPORTED = 3,
    NO_PERMISSION = 4,
    NOT_FOUND = 6,
    INSUFFICIENT_SIZE = 7,
    DRIVER_NOT_LOADED = 9,
    TIMEOUT = 10,
    GPU_IS_LOST = 15,
    UNKNOWN = 999,
};

#define MOST_GPUS 64

/* NULL until a board is mapped; `gpus` are the node's own. */
extern struct header *board;
extern struct gpu *gpus;

/* Those of them that this process may see, in the order of NVML's indexes. */
extern struct gpu *visible[MOST_GPUS];
extern uint32_t visible_count;

int map_board(void);
void unmap_board(void);
int is_of_board(const struct gpu *gpu);

/* 0 where NVML was initialised, with the driver that is there now; else the error of every call. */
int may_ask(void);

/* What was asked for last, and how to ask for something else; it is in force after the delay. */
uint32_t requested(const struct setting *slots, const uint32_t *index);
void request(struct gpu *gpu, struct setting *slots, uint32_t *index, uint32_t value, uint64_t delay_ns);

/* What holds or is measured now. */
uint32_t limit_mw(const struct gpu *gpu);
uint32_t enforced_mw(const struct gpu *gpu);
uint32_t sm_mhz(const struct gpu *gpu);
uint32_t instant_mw(const struct gpu *gpu);
uint32_t average_mw(const struct gpu *gpu);
uint64_t energy_mj(const struct gpu *gpu);

/* The return code of a call that would go on: 0, or the reason why it can't. */
int may_read(const struct gpu *gpu, const void *answer);
int may_read_unless(const struct gpu *gpu, uint32_t lacks, const void *answer);
int may_write(const struct gpu *gpu);

/* Count a setter's call, refused or not; the error is handed through. */
int audit(struct gpu *gpu, int error);

int copy_text(char *to, unsigned size, const char *text);

#endif
