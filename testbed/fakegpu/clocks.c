/* NVML's calls for clocks: what they are, which there are, and locking them. */
#include "node.h"

#include <stddef.h>

enum { CLOCK_GRAPHICS, CLOCK_SM, CLOCK_MEM, CLOCK_VIDEO, CLOCK_COUNT };

API int nvmlDeviceGetClockInfo(struct gpu *gpu, unsigned type, unsigned *mhz) {
    int error = may_read_unless(gpu, LACKS_CLOCKS, type < CLOCK_COUNT ? mhz : NULL);
    if (!error)
        *mhz = type == CLOCK_MEM ? board->memory_mhz : sm_mhz(gpu);
    return error;
}

API int nvmlDeviceGetMaxClockInfo(struct gpu *gpu, unsigned type, unsigned *mhz) {
    int error = may_read_unless(gpu, LACKS_CLOCKS, type < CLOCK_COUNT ? mhz : NULL);
    if (!error)
        *mhz = type == CLOCK_MEM ? board->memory_mhz : board->max_mhz;
    return error;
}

static int list_clocks(unsigned *count, unsigned *clocks, unsigned high, unsigned low, unsigned step) {
    unsigned needed = (high - low) / step + 1, room = *count;
    *count = needed;
    if (!clocks || room < needed)
        return INSUFFICIENT_SIZE;
    for (unsigned i = 0; i < needed; i++)
        clocks[i] = high - i * step;
    return SUCCESS;
}

API int nvmlDeviceGetSupportedMemoryClocks(struct gpu *gpu, unsigned *count, unsigned *clocks) {
    int error = may_read_unless(gpu, LACKS_CLOCKS, count);
    return error ? error : list_clocks(count, clocks, board->memory_mhz, board->memory_mhz, 1);
}

API int nvmlDeviceGetSupportedGraphicsClocks(struct gpu *gpu, unsigned memory, unsigned *count, unsigned *clocks) {
    int error = may_read_unless(gpu, LACKS_CLOCKS, count);
    if (!error && memory != board->memory_mhz)
        error = NOT_FOUND;
    return error ? error : list_clocks(count, clocks, board->max_mhz, board->min_mhz, board->step_mhz);
}

static int lock_clocks(struct gpu *gpu, unsigned high) {
    int error = may_write(gpu);
    if (!error && !(board->fields & HAS_LOCKED_CLOCKS))
        error = NOT_SUPPORTED;
    if (!error && high && (high < board->min_mhz || high > board->max_mhz))
        error = INVALID_ARGUMENT;
    if (!error) {
        request(gpu, gpu->clock, &gpu->clock_index, high, board->clock_delay_ns);
    }
    return audit(gpu, error);
}

API int nvmlDeviceSetGpuLockedClocks(struct gpu *gpu, unsigned low, unsigned high) {
    if (is_of_board(gpu) && (low > high || low < board->min_mhz))
        high = UINT32_MAX; /* out of every range */
    return lock_clocks(gpu, high);
}

API int nvmlDeviceResetGpuLockedClocks(struct gpu *gpu) { return lock_clocks(gpu, 0); }

API int nvmlDeviceGetCurrentClocksEventReasons(struct gpu *gpu, unsigned long long *reasons) {
    int error = may_read(gpu, reasons);
    if (!error)
        *reasons = gpu->reasons;
    return error;
}
