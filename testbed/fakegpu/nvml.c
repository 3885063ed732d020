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
#include "node.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned users;

/* ---- library and system -------------------------------------------------- */

/* As a library answers that is of another version than the driver, for one: LOADLINE_FAKEGPU_INIT=18. */
static int refused(void) {
    const char *code = getenv("LOADLINE_FAKEGPU_INIT");
    return code ? atoi(code) : SUCCESS;
}

API int nvmlInitWithFlags(unsigned flags) {
    (void)flags;
    if (!users && refused())
        return refused();
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
        "Operating System Blocked Request", "Driver/library version mismatch",
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
    int error = may_ask();
    if (error || !count)
        return error ? error : INVALID_ARGUMENT;
    *count = visible_count;
    return SUCCESS;
}

API int nvmlDeviceGetHandleByIndex_v2(unsigned index, struct gpu **device) {
    int error = may_ask();
    if (error || !device || index >= visible_count)
        return error ? error : INVALID_ARGUMENT;
    *device = visible[index];
    return visible[index]->faults & FAULT_LOST ? GPU_IS_LOST : SUCCESS;
}

API int nvmlDeviceGetHandleByUUID(const char *uuid, struct gpu **device) {
    int error = may_ask();
    if (error || !uuid || !device)
        return error ? error : INVALID_ARGUMENT;
    for (uint32_t i = 0; i < visible_count; i++)
        if (!strncmp(visible[i]->uuid, uuid, sizeof visible[i]->uuid))
            return nvmlDeviceGetHandleByIndex_v2(i, device);
    return NOT_FOUND;
}

API int nvmlDeviceGetIndex(struct gpu *gpu, unsigned *index) {
    int error = may_read(gpu, index);
    for (uint32_t i = 0; !error && i < visible_count; i++)
        if (visible[i] == gpu)
            *index = i;
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
    if (!error && gpu->persistence_error)
        error = (int)gpu->persistence_error;
    if (!error)
        *enabled = gpu->persistence;
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

/* ---- events -------------------------------------------------------------- */

#define XID_CRITICAL 0x8u

/* What a client waits for: XIDs of the GPUs that it registered, each as it came last. */
struct event_set {
    uint32_t count;
    struct {
        struct gpu *gpu;
        uint32_t seen;
    } registered[MOST_GPUS];
};

struct event_data {
    struct gpu *device;
    unsigned long long type, data;
    unsigned gpu_instance, compute_instance;
};

API int nvmlEventSetCreate(struct event_set **set) {
    if (!board || !set)
        return board ? INVALID_ARGUMENT : UNINITIALIZED;
    *set = calloc(1, sizeof **set);
    return *set ? SUCCESS : INSUFFICIENT_SIZE;
}

API int nvmlDeviceGetSupportedEventTypes(struct gpu *gpu, unsigned long long *types) {
    int error = may_read(gpu, types);
    if (!error)
        *types = gpu->lacks & LACKS_EVENTS ? 0 : XID_CRITICAL;
    return error;
}

API int nvmlDeviceRegisterEvents(struct gpu *gpu, unsigned long long types, struct event_set *set) {
    int error = may_read_unless(gpu, LACKS_EVENTS, set);
    if (!error && (types != XID_CRITICAL || set->count == MOST_GPUS))
        error = NOT_SUPPORTED;
    if (!error) {
        set->registered[set->count].gpu = gpu;
        set->registered[set->count++].seen = gpu->xid_count;
    }
    return error;
}

/* Only without waiting: nobody here asks for more. */
API int nvmlEventSetWait_v2(struct event_set *set, struct event_data *event, unsigned timeout_ms) {
    if (!board || !set || !event || timeout_ms)
        return board ? INVALID_ARGUMENT : UNINITIALIZED;
    for (uint32_t i = 0; i < set->count; i++) {
        struct gpu *gpu = set->registered[i].gpu;
        if (set->registered[i].seen == gpu->xid_count)
            continue;
        set->registered[i].seen = gpu->xid_count;
        *event = (struct event_data){gpu, XID_CRITICAL, gpu->xid, 0xffffffffu, 0xffffffffu};
        return SUCCESS;
    }
    for (uint32_t i = 0; i < set->count; i++)
        if (set->registered[i].gpu->faults & FAULT_LOST)
            return GPU_IS_LOST;
    return TIMEOUT;
}

API int nvmlEventSetFree(struct event_set *set) {
    free(set);
    return SUCCESS;
}

/* ---- the layout, for layouts.py ------------------------------------------ */

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
    {AT(node, name)}, {AT(node, privileged)}, {AT(node, unloaded)}, {AT(node, forgotten_ns)},
    {"setting", sizeof(struct setting)},
    {AT(setting, previous)}, {AT(setting, requested)}, {AT(setting, effective_ns)},
    {"gpu", sizeof(struct gpu)},
    {AT(gpu, uuid)}, {AT(gpu, lock)}, {AT(gpu, power_index)}, {AT(gpu, clock_index)},
    {AT(gpu, power)}, {AT(gpu, clock)},
    {AT(gpu, writes)}, {AT(gpu, refused)}, {AT(gpu, last_write_ns)}, {AT(gpu, last_writer_pid)},
    {AT(gpu, last_error)}, {AT(gpu, xid)}, {AT(gpu, xid_count)},
    {AT(gpu, instant_mw)}, {AT(gpu, average_mw)}, {AT(gpu, energy_mj)}, {AT(gpu, sm_mhz)},
    {AT(gpu, reasons)}, {AT(gpu, power_capped_ns)}, {AT(gpu, thermal_ns)}, {AT(gpu, braked_ns)},
    {AT(gpu, energy_at_ns)},
    {AT(gpu, faults)}, {AT(gpu, stuck_mw)}, {AT(gpu, read_error)}, {AT(gpu, write_error)},
    {AT(gpu, slow_ms)}, {AT(gpu, outband_mw)},
    {AT(gpu, lacks)}, {AT(gpu, odd_range)}, {AT(gpu, odd_min_mw)}, {AT(gpu, odd_max_mw)},
    {AT(gpu, persistence)}, {AT(gpu, persistence_error)},
    {AT(gpu, has_module)}, {AT(gpu, module_mw)}, {AT(gpu, module_limit_mw)},
    {NULL, 0},
};
