/*
 * What the fake NVML, the plant and the tests share: one file, mapped by all.
 *
 * A header says what every GPU of the board is; a table of nodes and a table of
 * GPUs follow. Each word has one kind of writer: a setter (any process, under
 * `lock`), the plant (sensors), or a test (faults, privileges). Times are
 * nanoseconds of CLOCK_BOOTTIME, power is in milliwatts, clocks in MHz.
 *
 * A setting takes effect some time after it was asked for. It lives in the slot
 * that `index` names; a writer fills the other slot and then turns the index,
 * so that a reader never sees half a setting, even of a writer that was killed.
 *
 * layouts.py mirrors these structs; nvml.c exports their offsets, and build.py
 * refuses a library whose offsets differ.
 */
#ifndef FAKEGPU_BOARD_H
#define FAKEGPU_BOARD_H

#include <stdint.h>

#define BOARD_MAGIC 0x4452414f42444c4cULL /* "LLDBOARD" */
#define BOARD_VERSION 1u

/* header.fields: what the model of GPU answers. */
#define HAS_FIELD_INSTANT 0x1u   /* field 186 */
#define HAS_FIELD_AVERAGE 0x2u   /* field 185; not on the A100 */
#define HAS_ENERGY 0x4u          /* field 83 and nvmlDeviceGetTotalEnergyConsumption */
#define HAS_FIELD_LIMITS 0x8u    /* fields 187 to 190 and 192 */
#define HAS_POWER_USAGE 0x10u    /* nvmlDeviceGetPowerUsage */
#define USAGE_IS_AVERAGE 0x20u   /* it then means the last second, as on the H100 */
#define HAS_LOCKED_CLOCKS 0x40u  /* nvmlDeviceSetGpuLockedClocks */

/* gpu.faults */
#define FAULT_STUCK 0x1u /* the power sensor repeats stuck_mw; energy goes on */
#define FAULT_LOST 0x2u  /* every call answers NVML_ERROR_GPU_IS_LOST */

/* gpu.lacks: what this one GPU answers NOT_SUPPORTED to, whatever its model has. */
#define LACKS_RANGE 0x1u   /* the settable range, and so the setter */
#define LACKS_DEFAULT 0x2u /* the default limit */
#define LACKS_CLOCKS 0x4u  /* every reading of clocks */
#define LACKS_POWER 0x8u   /* every reading of power, energy and limits */
#define LACKS_EVENTS 0x10u /* registering for events */

struct header {
    uint64_t magic;
    uint32_t version, node_count, gpus_per_node, fields;
    uint32_t min_mw, max_mw, default_mw;
    uint32_t min_mhz, max_mhz, step_mhz, memory_mhz;
    uint32_t reserved;
    uint64_t power_delay_ns, clock_delay_ns;
    char model[64];
    char driver[32];
    uint8_t padding[88];
};

struct node {
    char name[64];
    uint32_t privileged;
    uint32_t unloaded;     /* 1 while there is no driver: nvmlInit finds none */
    uint64_t forgotten_ns; /* when the driver went last, and forgot all settings; 0 is never */
    uint8_t padding[44];
};

/* In force: `previous` before `effective_ns`, `requested` from then on. */
struct setting {
    uint32_t previous, requested;
    uint64_t effective_ns;
};

struct gpu {
    char uuid[48];
    uint8_t padding0[16];

    /* setters */
    uint32_t lock;
    uint32_t power_index, clock_index;
    uint32_t reserved;
    struct setting power[2]; /* milliwatts */
    struct setting clock[2]; /* the upper end of the locked clocks; 0 is not locked */
    uint8_t padding1[48];

    /* audit of the setters */
    uint64_t writes, refused;
    uint64_t last_write_ns;
    uint32_t last_writer_pid;
    uint32_t last_error;
    uint32_t xid, xid_count; /* the last XID, and how many there were; by tests */
    uint8_t padding2[24];

    /* sensors, by the plant */
    uint32_t instant_mw, average_mw;
    uint64_t energy_mj;
    uint32_t sm_mhz;
    uint32_t reserved2;
    uint64_t reasons;
    uint64_t power_capped_ns, thermal_ns, braked_ns;
    uint64_t energy_at_ns; /* energy_mj goes on from here at instant_mw; 0 is: it doesn't */

    /* faults, by tests */
    uint32_t faults, stuck_mw;
    uint32_t read_error, write_error;
    uint32_t slow_ms;
    uint32_t outband_mw; /* a limit set by a BMC; 0 is none */
    uint32_t lacks;
    uint32_t odd_range; /* 1: the settable range is told as the next two say */
    uint32_t odd_min_mw, odd_max_mw;
    uint32_t persistence;       /* as nvmlDeviceGetPersistenceMode tells it: 1 is on, 0 is off */
    uint32_t persistence_error; /* an NVML_ERROR code that it answers instead; 0 is none */
    uint32_t has_module;        /* 1: fields 186, 190 and 192 answer in scope 1, as the next two say */
    uint32_t module_mw, module_limit_mw;
    uint8_t padding4[4];
};

_Static_assert(sizeof(struct header) == 256, "header");
_Static_assert(sizeof(struct node) == 128, "node");
_Static_assert(sizeof(struct gpu) == 384, "gpu");

#endif
