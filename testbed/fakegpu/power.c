/* NVML's calls for power: limits, draw, energy, and the field values that tell them at once. */
#define _GNU_SOURCE
#include "node.h"

#include <stddef.h>
#include <time.h>

API int nvmlDeviceGetPowerManagementLimitConstraints(struct gpu *gpu, unsigned *low, unsigned *high) {
    int error = may_read_unless(gpu, LACKS_RANGE, low && high ? gpu : NULL);
    if (!error) {
        *low = gpu->odd_range ? gpu->odd_min_mw : board->min_mw;
        *high = gpu->odd_range ? gpu->odd_max_mw : board->max_mw;
    }
    return error;
}

API int nvmlDeviceGetPowerManagementDefaultLimit(struct gpu *gpu, unsigned *limit) {
    int error = may_read_unless(gpu, LACKS_DEFAULT, limit);
    if (!error)
        *limit = board->default_mw;
    return error;
}

API int nvmlDeviceGetPowerManagementLimit(struct gpu *gpu, unsigned *limit) {
    int error = may_read_unless(gpu, LACKS_POWER, limit);
    if (!error)
        *limit = limit_mw(gpu);
    return error;
}

API int nvmlDeviceGetEnforcedPowerLimit(struct gpu *gpu, unsigned *limit) {
    int error = may_read_unless(gpu, LACKS_POWER, limit);
    if (!error)
        *limit = enforced_mw(gpu);
    return error;
}

static int set_limit(struct gpu *gpu, unsigned limit) {
    int error = may_write(gpu);
    if (!error && (limit < board->min_mw || limit > board->max_mw))
        error = INVALID_ARGUMENT;
    if (!error) {
        request(gpu, gpu->power, &gpu->power_index, limit, board->power_delay_ns);
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
    int error = may_read_unless(gpu, LACKS_POWER, milliwatts);
    if (!error && !(board->fields & HAS_POWER_USAGE))
        error = NOT_SUPPORTED;
    if (!error)
        *milliwatts = board->fields & USAGE_IS_AVERAGE ? average_mw(gpu) : instant_mw(gpu);
    return error;
}

API int nvmlDeviceGetTotalEnergyConsumption(struct gpu *gpu, unsigned long long *millijoules) {
    int error = may_read_unless(gpu, LACKS_POWER, millijoules);
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
enum { SCOPE_MODULE = 1 };

static void answer(struct field_value *field, int supported, uint32_t type, uint64_t value) {
    field->error = supported ? SUCCESS : NOT_SUPPORTED;
    field->type = type;
    field->value.u64 = supported ? value : 0;
}

/* Scope 1 is the module: the GPU with all that shares its supply, as a Grace CPU. */
static void read_module_field(const struct gpu *gpu, struct field_value *field) {
    int is_power = field->id == 186, is_limit = field->id == 190 || field->id == 192;
    int has = gpu->has_module && (is_power || is_limit);
    answer(field, has, TYPE_U32, is_power ? gpu->module_mw : gpu->module_limit_mw);
}

static void read_field(const struct gpu *gpu, struct field_value *field) {
    uint32_t has = field->scope || gpu->lacks & LACKS_POWER ? 0 : board->fields, limits = has & HAS_FIELD_LIMITS;
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
        if (fields[i].scope == SCOPE_MODULE)
            read_module_field(gpu, &fields[i]);
        else
            read_field(gpu, &fields[i]);
    }
    return SUCCESS;
}
