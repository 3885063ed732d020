/*
 * A libnvidia-ml.so.1 without a GPU: what Loadline's agents and guards call,
 * answered from a board (board.h) in shared memory.
 *
 * LOADLINE_FAKEGPU_BOARD names the file, LOADLINE_FAKEGPU_NODE the node whose
 * GPUs this process sees, by index or by name. Both are read at nvmlInit, so
 * that one process can look at one node after another.
 *
 * It answers as the driver does where that is documented (nvml.h, and
 * nvidia-ml-py's own declarations): a limit takes effect after a delay, there
 * is no getter for locked clocks, a field that a model lacks says so in its own
 * return code. Setters ask the board for the right to write, and count
 * themselves, refused or not: a test can prove that nobody wrote.
 */
#define _GNU_SOURCE
#include "board.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define API __attribute__((visibility("default")))

enum {
    SUCCESS = 0,
    UNINITIALIZED = 1,
    INVALID_ARGUMENT = 2,
    NOT_SUPPORTED = 3,
    NO_PERMISSION = 4,
    NOT_FOUND = 6,
    INSUFFICIENT_SIZE = 7,
    DRIVER_NOT_LOADED = 9,
    GPU_IS_LOST = 15,
};

static struct header *board;
static size_t board_size;
static struct node *node;
static struct gpu *gpus;
static unsigned users;

/* ---- the board ---------------------------------------------------------- */

static uint64_t boottime_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int is_of_board(const struct gpu *gpu) {
    return board && gpu >= gpus && gpu < gpus + board->gpus_per_node;
}

static uint32_t node_index(const char *wanted, const struct node *nodes, uint32_t count) {
    char *end;
    unsigned long index = strtoul(wanted, &end, 10);
    if (*wanted && !*end)
        return index < count ? (uint32_t)index : count;
    for (uint32_t i = 0; i < count; i++)
        if (!strncmp(nodes[i].name, wanted, sizeof nodes[i].name))
            return i;
    return count;
}

static void unmap_board(void) {
    if (board)
        munmap(board, board_size);
    board = NULL;
    node = NULL;
    gpus = NULL;
}

static int map_file(const char *path) {
    struct stat status;
    int file = open(path, O_RDWR | O_CLOEXEC);
    if (file < 0)
        return DRIVER_NOT_LOADED;
    if (fstat(file, &status) == 0 && status.st_size >= (off_t)sizeof(struct header)) {
        board_size = (size_t)status.st_size;
        void *memory = mmap(NULL, board_size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
        board = memory == MAP_FAILED ? NULL : memory;
    }
    close(file);
    return board ? SUCCESS : DRIVER_NOT_LOADED;
}

static int map_board(void) {
    const char *path = getenv("LOADLINE_FAKEGPU_BOARD");
    const char *wanted = getenv("LOADLINE_FAKEGPU_NODE");
    if (!path || map_file(path) != SUCCESS)
        return DRIVER_NOT_LOADED;
    size_t count = board->node_count, each = board->gpus_per_node;
    size_t needed = sizeof *board + count * (sizeof(struct node) + each * sizeof(struct gpu));
    struct node *nodes = (struct node *)(board + 1);
    uint32_t index = board_size < needed ? 0 : node_index(wanted ? wanted : "0", nodes, board->node_count);
    if (board->magic != BOARD_MAGIC || board->version != BOARD_VERSION || board_size < needed || index >= count) {
        unmap_board();
        return DRIVER_NOT_LOADED;
    }
    node = &nodes[index];
    gpus = (struct gpu *)(nodes + count) + index * each;
    return SUCCESS;
}

/* ---- settings that take effect later ------------------------------------ */

static uint32_t in_force(const struct setting *slots, const uint32_t *index, uint64_t now) {
    const struct setting *slot = &slots[__atomic_load_n(index, __ATOMIC_ACQUIRE) & 1u];
    return now >= slot->effective_ns ? slot->requested : slot->previous;
}

static uint32_t requested(const struct setting *slots, const uint32_t *index) {
    return slots[__atomic_load_n(index, __ATOMIC_ACQUIRE) & 1u].requested;
}

/* The lock of a process that was killed or stopped inside is taken over after 50 ms. */
static void acquire(struct gpu *gpu) {
    uint64_t give_up_ns = boottime_ns() + 50000000u;
    while (__atomic_exchange_n(&gpu->lock, 1u, __ATOMIC_ACQUIRE) && boottime_ns() < give_up_ns)
        ;
}

static void release(struct gpu *gpu) { __atomic_store_n(&gpu->lock, 0u, __ATOMIC_RELEASE); }

/* A repeated request changes nothing; another one starts its delay anew. */
static void request(struct setting *slots, uint32_t *index, uint32_t value, uint64_t delay_ns) {
    uint64_t now = boottime_ns();
    uint32_t other = (*index & 1u) ^ 1u;
    if (requested(slots, index) == value)
        return;
    slots[other].previous = in_force(slots, index, now);
    slots[other].requested = value;
    slots[other].effective_ns = now + delay_ns;
    __atomic_store_n(index, other, __ATOMIC_RELEASE);
}

static uint32_t limit_mw(const struct gpu *gpu) {
    return in_force(gpu->power, &gpu->power_index, boottime_ns());
}

static uint32_t enforced_mw(const struct gpu *gpu) {
    uint32_t host = limit_mw(gpu), outband = gpu->outband_mw;
    return outband && outband < host ? outband : host;
}

static uint32_t sm_mhz(const struct gpu *gpu) {
    uint32_t locked = in_force(gpu->clock, &gpu->clock_index, boottime_ns());
    return locked && locked < gpu->sm_mhz ? locked : gpu->sm_mhz;
}

static uint32_t instant_mw(const struct gpu *gpu) {
    return gpu->faults & FAULT_STUCK ? gpu->stuck_mw : gpu->instant_mw;
}

static uint32_t average_mw(const struct gpu *gpu) {
    return gpu->faults & FAULT_STUCK ? gpu->stuck_mw : gpu->average_mw;
}

static uint64_t energy_mj(const struct gpu *gpu) {
    uint64_t since = gpu->energy_at_ns, now = boottime_ns();
    return gpu->energy_mj + (since && now > since ? (now - since) / 1000u * gpu->instant_mw / 1000000u : 0);
}

/* ---- guards of every call ------------------------------------------------ */

static void dawdle(const struct gpu *gpu) {
    struct timespec left = {gpu->slow_ms / 1000, (long)(gpu->slow_ms % 1000) * 1000000L};
    while (gpu->slow_ms && nanosleep(&left, &left) && errno == EINTR)
        ;
}

static int may_touch(const struct gpu *gpu) {
    if (!board)
        return UNINITIALIZED;
    if (!is_of_board(gpu))
        return INVALID_ARGUMENT;
    dawdle(gpu);
    return gpu->faults & FAULT_LOST ? GPU_IS_LOST : SUCCESS;
}

static int may_read(const struct gpu *gpu, const void *answer) {
    int error = may_touch(gpu);
    if (error)
        return error;
    return gpu->read_error ? (int)gpu->read_error : answer ? SUCCESS : INVALID_ARGUMENT;
}

static int is_privileged(void) {
    const char *denied = getenv("LOADLINE_NVML_PRIVILEGE");
    return node->privileged && !(denied && !strcmp(denied, "0"));
}

static int may_write(const struct gpu *gpu) {
    int error = may_touch(gpu);
    if (error)
        return error;
    return !is_privileged() ? NO_PERMISSION : (int)gpu->write_error;
}

static int audit(struct gpu *gpu, int error) {
    if (!is_of_board(gpu))
        return error;
    __atomic_fetch_add(&gpu->writes, 1, __ATOMIC_RELAXED);
    if (error)
        __atomic_fetch_add(&gpu->refused, 1, __ATOMIC_RELAXED);
    gpu->last_write_ns = boottime_ns();
    gpu->last_writer_pid = (uint32_t)getpid();
    gpu->last_error = (uint32_t)error;
    return error;
}

static int copy_text(char *to, unsigned size, const char *text) {
    if (!to)
        return INVALID_ARGUMENT;
    if (size < strlen(text) + 1)
        return INSUFFICIENT_SIZE;
    strcpy(to, text);
    return SUCCESS;
}

/* ---- library and system -------------------------------------------------- */

API int nvmlInitWithFlags(unsigned flags) {
    (void)flags;
    int error = users ? SUCCESS : map_board();
    users += error == SUCCESS;
    return error;
}

API int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }
API int nvmlInit(void) { return nvmlInitWithFlags(0); }

API int nvmlShutdown(void) {
    if (!users)
        return UNINITIALIZED;
    if (--users == 0)
        unmap_board();
    return SUCCESS;
}

API const char *nvmlErrorString(int error) {
    static const char *const names[] = {
        "Success", "Uninitialized", "Invalid Argument", "Not Supported", "Insufficient Permissions",
        "Already Initialized", "Not Found", "Insufficient Size", "Insufficient External Power",
        "Driver Not Loaded", "Timeout", "Interrupt Request Issue", "NVML Shared Library Not Found",
        "Function Not Found", "Corrupted infoROM", "GPU is lost", "GPU requires reset",
        "Operating System Blocked Request",
    };
    return error >= 0 && (size_t)error < sizeof names / sizeof *names ? names[error] : "Unknown Error";
}

API int nvmlSystemGetDriverVersion(char *version, unsigned size) {
    return board ? copy_text(version, size, board->driver) : UNINITIALIZED;
}

API int nvmlSystemGetNVMLVersion(char *version, unsigned size) {
    char text[40];
    if (!board)
        return UNINITIALIZED;
    snprintf(text, sizeof text, "13.%s", board->driver);
    return copy_text(version, size, text);
}

API int nvmlSystemGetCudaDriverVersion(int *version) {
    if (!version)
        return INVALID_ARGUMENT;
    *version = 13000;
    return SUCCESS;
}

/* ---- finding a GPU ------------------------------------------------------- */

API int nvmlDeviceGetCount_v2(unsigned *count) {
    if (!board || !count)
        return board ? INVALID_ARGUMENT : UNINITIALIZED;
    *count = board->gpus_per_node;
    return SUCCESS;
}

API int nvmlDeviceGetHandleByIndex_v2(unsigned index, struct gpu **device) {
    if (!board || !device || index >= board->gpus_per_node)
        return board ? INVALID_ARGUMENT : UNINITIALIZED;
    *device = gpus + index;
    return gpus[index].faults & FAULT_LOST ? GPU_IS_LOST : SUCCESS;
}

API int nvmlDeviceGetHandleByUUID(const char *uuid, struct gpu **device) {
    if (!board || !uuid || !device)
        return board ? INVALID_ARGUMENT : UNINITIALIZED;
    for (uint32_t i = 0; i < board->gpus_per_node; i++)
        if (!strncmp(gpus[i].uuid, uuid, sizeof gpus[i].uuid))
            return nvmlDeviceGetHandleByIndex_v2(i, device);
    return NOT_FOUND;
}

API int nvmlDeviceGetIndex(struct gpu *gpu, unsigned *index) {
    int error = may_read(gpu, index);
    if (!error)
        *index = (unsigned)(gpu - gpus);
    return error;
}

API int nvmlDeviceGetUUID(struct gpu *gpu, char *uuid, unsigned size) {
    int error = may_read(gpu, uuid);
    return error ? error : copy_text(uuid, size, gpu->uuid);
}

API int nvmlDeviceGetName(struct gpu *gpu, char *name, unsigned size) {
    int error = may_read(gpu, name);
    return error ? error : copy_text(name, size, board->model);
}

struct pci_info {
    char bus_id_legacy[16];
    unsigned domain, bus, device, device_id, subsystem_id;
    char bus_id[32];
};

API int nvmlDeviceGetPciInfo_v3(struct gpu *gpu, struct pci_info *pci) {
    int error = may_read(gpu, pci);
    if (error)
        return error;
    unsigned bus = 0x10u + 8u * (unsigned)(gpu - gpus);
    memset(pci, 0, sizeof *pci);
    pci->bus = bus;
    pci->device_id = 0x20b010deu;
    snprintf(pci->bus_id_legacy, sizeof pci->bus_id_legacy, "0000:%02X:00.0", bus & 0xffu);
    snprintf(pci->bus_id, sizeof pci->bus_id, "00000000:%02X:00.0", bus & 0xffu);
    return SUCCESS;
}

API int nvmlDeviceGetPersistenceMode(struct gpu *gpu, unsigned *enabled) {
    int error = may_read(gpu, enabled);
    if (!error)
        *enabled = 1;
    return error;
}

API int nvmlDeviceGetMigMode(struct gpu *gpu, unsigned *current, unsigned *pending) {
    int error = may_read(gpu, current && pending ? gpu : NULL);
    if (!error)
        *current = *pending = 0;
    return error;
}

API int nvmlDeviceGetComputeRunningProcesses_v3(struct gpu *gpu, unsigned *count, void *processes) {
    (void)processes;
    int error = may_read(gpu, count);
    if (!error)
        *count = 0;
    return error;
}

/* ---- power --------------------------------------------------------------- */

API int nvmlDeviceGetPowerManagementLimitConstraints(struct gpu *gpu, unsigned *low, unsigned *high) {
    int error = may_read(gpu, low && high ? gpu : NULL);
    if (!error) {
        *low = board->min_mw;
        *high = board->max_mw;
    }
    return error;
}

API int nvmlDeviceGetPowerManagementDefaultLimit(struct gpu *gpu, unsigned *limit) {
    int error = may_read(gpu, limit);
    if (!error)
        *limit = board->default_mw;
    return error;
}

API int nvmlDeviceGetPowerManagementLimit(struct gpu *gpu, unsigned *limit) {
    int error = may_read(gpu, limit);
    if (!error)
        *limit = limit_mw(gpu);
    return error;
}

API int nvmlDeviceGetEnforcedPowerLimit(struct gpu *gpu, unsigned *limit) {
    int error = may_read(gpu, limit);
    if (!error)
        *limit = enforced_mw(gpu);
    return error;
}

static int set_limit(struct gpu *gpu, unsigned limit) {
    int error = may_write(gpu);
    if (!error && (limit < board->min_mw || limit > board->max_mw))
        error = INVALID_ARGUMENT;
    if (!error) {
        acquire(gpu);
        request(gpu->power, &gpu->power_index, limit, board->power_delay_ns);
        release(gpu);
    }
    return audit(gpu, error);
}

API int nvmlDeviceSetPowerManagementLimit(struct gpu *gpu, unsigned limit) { return set_limit(gpu, limit); }

struct power_value {
    unsigned version;
    uint8_t scope;
    unsigned milliwatts;
};

API int nvmlDeviceSetPowerManagementLimit_v2(struct gpu *gpu, const struct power_value *value) {
    if (!value || value->scope)
        return audit(gpu, value ? NOT_SUPPORTED : INVALID_ARGUMENT);
    return set_limit(gpu, value->milliwatts);
}

API int nvmlDeviceGetPowerUsage(struct gpu *gpu, unsigned *milliwatts) {
    int error = may_read(gpu, milliwatts);
    if (!error && !(board->fields & HAS_POWER_USAGE))
        error = NOT_SUPPORTED;
    if (!error)
        *milliwatts = board->fields & USAGE_IS_AVERAGE ? average_mw(gpu) : instant_mw(gpu);
    return error;
}

API int nvmlDeviceGetTotalEnergyConsumption(struct gpu *gpu, unsigned long long *millijoules) {
    int error = may_read(gpu, millijoules);
    if (!error && !(board->fields & HAS_ENERGY))
        error = NOT_SUPPORTED;
    if (!error)
        *millijoules = energy_mj(gpu);
    return error;
}

struct field_value {
    uint32_t id, scope;
    int64_t timestamp_us, latency_us;
    uint32_t type, error;
    union {
        uint32_t u32;
        uint64_t u64;
    } value;
};

enum { TYPE_U32 = 1, TYPE_U64 = 3 };

static void answer(struct field_value *field, int supported, uint32_t type, uint64_t value) {
    field->error = supported ? SUCCESS : NOT_SUPPORTED;
    field->type = type;
    field->value.u64 = supported ? value : 0;
}

static void read_field(const struct gpu *gpu, struct field_value *field) {
    uint32_t has = field->scope ? 0 : board->fields, limits = has & HAS_FIELD_LIMITS;
    switch (field->id) {
    case 74: answer(field, 1, TYPE_U64, gpu->power_capped_ns); break;
    case 83: answer(field, has & HAS_ENERGY, TYPE_U64, energy_mj(gpu)); break;
    case 185: answer(field, has & HAS_FIELD_AVERAGE, TYPE_U32, average_mw(gpu)); break;
    case 186: answer(field, has & HAS_FIELD_INSTANT, TYPE_U32, instant_mw(gpu)); break;
    case 187: answer(field, limits, TYPE_U32, board->min_mw); break;
    case 188: answer(field, limits, TYPE_U32, board->max_mw); break;
    case 189: answer(field, limits, TYPE_U32, board->default_mw); break;
    case 190: answer(field, limits, TYPE_U32, enforced_mw(gpu)); break;
    case 192: answer(field, limits, TYPE_U32, requested(gpu->power, &gpu->power_index)); break;
    case 269: answer(field, 1, TYPE_U64, gpu->thermal_ns); break;
    case 270: answer(field, 1, TYPE_U64, 0); break;
    case 271: answer(field, 1, TYPE_U64, gpu->braked_ns); break;
    default: answer(field, 0, TYPE_U32, 0);
    }
}

API int nvmlDeviceGetFieldValues(struct gpu *gpu, int count, struct field_value *fields) {
    struct timespec now;
    int error = may_read(gpu, count > 0 ? fields : NULL);
    if (error)
        return error;
    clock_gettime(CLOCK_REALTIME, &now);
    for (int i = 0; i < count; i++) {
        fields[i].timestamp_us = (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
        fields[i].latency_us = 1;
        read_field(gpu, &fields[i]);
    }
    return SUCCESS;
}

/* ---- clocks -------------------------------------------------------------- */

enum { CLOCK_GRAPHICS, CLOCK_SM, CLOCK_MEM, CLOCK_VIDEO, CLOCK_COUNT };

API int nvmlDeviceGetClockInfo(struct gpu *gpu, unsigned type, unsigned *mhz) {
    int error = may_read(gpu, type < CLOCK_COUNT ? mhz : NULL);
    if (!error)
        *mhz = type == CLOCK_MEM ? board->memory_mhz : sm_mhz(gpu);
    return error;
}

API int nvmlDeviceGetMaxClockInfo(struct gpu *gpu, unsigned type, unsigned *mhz) {
    int error = may_read(gpu, type < CLOCK_COUNT ? mhz : NULL);
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
    int error = may_read(gpu, count);
    return error ? error : list_clocks(count, clocks, board->memory_mhz, board->memory_mhz, 1);
}

API int nvmlDeviceGetSupportedGraphicsClocks(struct gpu *gpu, unsigned memory, unsigned *count, unsigned *clocks) {
    int error = may_read(gpu, count);
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
        acquire(gpu);
        request(gpu->clock, &gpu->clock_index, high, board->clock_delay_ns);
        release(gpu);
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

/* ---- the layout, for layouts.py -------------------------------------------- */

#define AT(type, member) #type "." #member, offsetof(struct type, member)

struct offset {
    const char *name;
    uint64_t value;
};

API const struct offset fakegpu_layout[] = {
    {"header", sizeof(struct header)},
    {AT(header, magic)}, {AT(header, version)}, {AT(header, node_count)}, {AT(header, gpus_per_node)}, {AT(header, fields)},
    {AT(header, min_mw)}, {AT(header, max_mw)}, {AT(header, default_mw)},
    {AT(header, min_mhz)}, {AT(header, max_mhz)}, {AT(header, step_mhz)}, {AT(header, memory_mhz)},
    {AT(header, power_delay_ns)}, {AT(header, clock_delay_ns)}, {AT(header, model)}, {AT(header, driver)},
    {"node", sizeof(struct node)},
    {AT(node, name)}, {AT(node, privileged)},
    {"setting", sizeof(struct setting)},
    {AT(setting, previous)}, {AT(setting, requested)}, {AT(setting, effective_ns)},
    {"gpu", sizeof(struct gpu)},
    {AT(gpu, uuid)}, {AT(gpu, lock)}, {AT(gpu, power_index)}, {AT(gpu, clock_index)},
    {AT(gpu, power)}, {AT(gpu, clock)},
    {AT(gpu, writes)}, {AT(gpu, refused)}, {AT(gpu, last_write_ns)}, {AT(gpu, last_writer_pid)},
    {AT(gpu, last_error)},
    {AT(gpu, instant_mw)}, {AT(gpu, average_mw)}, {AT(gpu, energy_mj)}, {AT(gpu, sm_mhz)},
    {AT(gpu, reasons)}, {AT(gpu, power_capped_ns)}, {AT(gpu, thermal_ns)}, {AT(gpu, braked_ns)},
    {AT(gpu, energy_at_ns)},
    {AT(gpu, faults)}, {AT(gpu, stuck_mw)}, {AT(gpu, read_error)}, {AT(gpu, write_error)},
    {AT(gpu, slow_ms)}, {AT(gpu, outband_mw)},
    {NULL, 0},
};
