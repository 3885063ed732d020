/*
 * Maps the board, and answers for one node's GPUs what every call asks first.
 * What it is for is in node.h, how the board is laid out in board.h.
 */
#define _GNU_SOURCE
#include "node.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct header *board;
struct gpu *gpus;
struct gpu *visible[MOST_GPUS];
uint32_t visible_count;
static size_t board_size;
static struct node *node;
static uint64_t loaded_after_ns;

/* ---- the board ----------------------------------------------------------- */

static uint64_t boottime_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int is_of_board(const struct gpu *gpu) {
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

/* A container that was given some GPUs by their UUIDs sees only those; any other word hides none. */
static void look(const char *told) {
    visible_count = 0;
    for (uint32_t i = 0; i < board->gpus_per_node && i < MOST_GPUS; i++)
        if (!told || !strstr(told, "GPU-") || strstr(told, gpus[i].uuid))
            visible[visible_count++] = gpus + i;
}

void unmap_board(void) {
    if (board)
        munmap(board, board_size);
    board = NULL;
    visible_count = 0;
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

int map_board(void) {
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
    if (nodes[index].unloaded) {
        unmap_board();
        return DRIVER_NOT_LOADED;
    }
    node = &nodes[index];
    loaded_after_ns = node->forgotten_ns;
    gpus = (struct gpu *)(nodes + count) + index * each;
    look(getenv("NVIDIA_VISIBLE_DEVICES"));
    return SUCCESS;
}

/* ---- settings that take effect later ------------------------------------- */

static uint32_t in_force(const struct setting *slots, const uint32_t *index, uint64_t now) {
    const struct setting *slot = &slots[__atomic_load_n(index, __ATOMIC_ACQUIRE) & 1u];
    return now >= slot->effective_ns ? slot->requested : slot->previous;
}

uint32_t requested(const struct setting *slots, const uint32_t *index) {
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
static void turn(struct setting *slots, uint32_t *index, uint32_t value, uint64_t delay_ns) {
    uint64_t now = boottime_ns();
    uint32_t other = (*index & 1u) ^ 1u;
    if (requested(slots, index) == value)
        return;
    slots[other].previous = in_force(slots, index, now);
    slots[other].requested = value;
    slots[other].effective_ns = now + delay_ns;
    __atomic_store_n(index, other, __ATOMIC_RELEASE);
}

void request(struct gpu *gpu, struct setting *slots, uint32_t *index, uint32_t value, uint64_t delay_ns) {
    acquire(gpu);
    turn(slots, index, value, delay_ns);
    release(gpu);
}

uint32_t limit_mw(const struct gpu *gpu) {
    return in_force(gpu->power, &gpu->power_index, boottime_ns());
}

uint32_t enforced_mw(const struct gpu *gpu) {
    uint32_t host = limit_mw(gpu), outband = gpu->outband_mw;
    return outband && outband < host ? outband : host;
}

uint32_t sm_mhz(const struct gpu *gpu) {
    uint32_t locked = in_force(gpu->clock, &gpu->clock_index, boottime_ns());
    return locked && locked < gpu->sm_mhz ? locked : gpu->sm_mhz;
}

uint32_t instant_mw(const struct gpu *gpu) {
    return gpu->faults & FAULT_STUCK ? gpu->stuck_mw : gpu->instant_mw;
}

uint32_t average_mw(const struct gpu *gpu) {
    return gpu->faults & FAULT_STUCK ? gpu->stuck_mw : gpu->average_mw;
}

uint64_t energy_mj(const struct gpu *gpu) {
    uint64_t since = gpu->energy_at_ns, now = boottime_ns();
    return gpu->energy_mj + (since && now > since ? (now - since) / 1000u * gpu->instant_mw / 1000000u : 0);
}

/* ---- guards of every call ------------------------------------------------ */

static void dawdle(const struct gpu *gpu) {
    struct timespec left = {gpu->slow_ms / 1000, (long)(gpu->slow_ms % 1000) * 1000000L};
    while (gpu->slow_ms && nanosleep(&left, &left) && errno == EINTR)
        ;
}

/* Who has initialised NVML with one driver gets nothing from the next one until he does so anew. */
int may_ask(void) {
    if (!board)
        return UNINITIALIZED;
    return node->forgotten_ns == loaded_after_ns ? SUCCESS : UNKNOWN;
}

static int may_touch(const struct gpu *gpu) {
    int error = may_ask();
    if (error)
        return error;
    if (!is_of_board(gpu))
        return INVALID_ARGUMENT;
    dawdle(gpu);
    return gpu->faults & FAULT_LOST ? GPU_IS_LOST : SUCCESS;
}

int may_read(const struct gpu *gpu, const void *answer) {
    int error = may_touch(gpu);
    if (error)
        return error;
    return gpu->read_error ? (int)gpu->read_error : answer ? SUCCESS : INVALID_ARGUMENT;
}

int may_read_unless(const struct gpu *gpu, uint32_t lacks, const void *answer) {
    int error = may_read(gpu, answer);
    return error ? error : gpu->lacks & lacks ? NOT_SUPPORTED : SUCCESS;
}

static int is_privileged(void) {
    const char *denied = getenv("LOADLINE_NVML_PRIVILEGE");
    return node->privileged && !(denied && !strcmp(denied, "0"));
}

int may_write(const struct gpu *gpu) {
    int error = may_touch(gpu);
    if (error)
        return error;
    if (gpu->lacks & LACKS_RANGE)
        return NOT_SUPPORTED;
    return !is_privileged() ? NO_PERMISSION : (int)gpu->write_error;
}

int audit(struct gpu *gpu, int error) {
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

int copy_text(char *to, unsigned size, const char *text) {
    if (!to)
        return INVALID_ARGUMENT;
    if (size < strlen(text) + 1)
        return INSUFFICIENT_SIZE;
    strcpy(to, text);
    return SUCCESS;
}
