/* How long libdw takes to unwind one recorded stack: libdw_unwind REPEATS STACK-FILE START RIP RSP RBP RBX R12 R13 R14 R15 [BIAS ELF-FILE]...
   Numbers are hexadecimal. Prints "frames nanoseconds-a-stack". Prototypes by hand (elfutils 0.188, libdwfl.h), so that only the
   library is needed, not its headers. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>

typedef struct Dwfl Dwfl;
typedef struct Dwfl_Module Dwfl_Module;
typedef struct Dwfl_Thread Dwfl_Thread;
typedef struct Dwfl_Frame Dwfl_Frame;
typedef uint64_t Address;

typedef struct {
  int (*find_elf)(void);
  int (*find_debuginfo)(void);
  int (*section_address)(void);
  char **debuginfo_path;
} Callbacks;

typedef struct {
  pid_t (*next_thread)(Dwfl *, void *, void **);
  _Bool (*get_thread)(Dwfl *, pid_t, void *, void **);
  _Bool (*memory_read)(Dwfl *, Address, Address *, void *);
  _Bool (*set_initial_registers)(Dwfl_Thread *, void *);
  void (*detach)(Dwfl *, void *);
  void (*thread_detach)(Dwfl_Thread *, void *);
} Thread_Callbacks;

extern Dwfl *dwfl_begin(const Callbacks *);
extern Dwfl_Module *dwfl_report_elf(Dwfl *, const char *, const char *, int, Address, _Bool);
extern int dwfl_report_end(Dwfl *, void *, void *);
extern _Bool dwfl_attach_state(Dwfl *, void *, pid_t, const Thread_Callbacks *, void *);
extern int dwfl_getthread_frames(Dwfl *, pid_t, int (*)(Dwfl_Frame *, void *), void *);
extern _Bool dwfl_frame_pc(Dwfl_Frame *, Address *, _Bool *);
extern _Bool dwfl_thread_state_registers(Dwfl_Thread *, int, unsigned, const Address *);
extern void dwfl_thread_state_register_pc(Dwfl_Thread *, Address);
extern const char *dwfl_errmsg(int);

static unsigned char stack[1 << 20];
static Address start, size, registers[17];
static int frames;

static int none(void) { return -1; }

static pid_t next_thread(Dwfl *dwfl, void *argument, void **state) {
  (void)dwfl;
  (void)argument;
  if (*state) return 0;
  *state = stack;
  return 1;
}

static _Bool memory_read(Dwfl *dwfl, Address address, Address *result, void *argument) {
  (void)dwfl;
  (void)argument;
  if (address < start || address - start + 8 > size) return 0;
  memcpy(result, stack + (address - start), 8);
  return 1;
}

static _Bool set_registers(Dwfl_Thread *thread, void *argument) {
  (void)argument;
  dwfl_thread_state_register_pc(thread, registers[16]);
  return dwfl_thread_state_registers(thread, 0, 17, registers);
}

static int frame(Dwfl_Frame *state, void *argument) {
  Address pc;
  (void)argument;
  if (!dwfl_frame_pc(state, &pc, NULL)) return -1;
  frames++;
  return 0;
}

int main(int count, char **arguments) {
  static const Callbacks callbacks = {none, none, none, NULL};
  static const Thread_Callbacks threads = {next_thread, NULL, memory_read, set_registers, NULL, NULL};
  static const int numbers[] = {16, 7, 6, 3, 12, 13, 14, 15};
  long repeats = strtol(arguments[1], NULL, 16);
  FILE *file = fopen(arguments[2], "rb");
  size = fread(stack, 1, sizeof stack, file);
  start = strtoull(arguments[3], NULL, 16);
  for (int i = 0; i < 8; i++) registers[numbers[i]] = strtoull(arguments[4 + i], NULL, 16);
  Dwfl *dwfl = dwfl_begin(&callbacks);
  for (int i = 12; i + 1 < count; i += 2) {
    int fd = open(arguments[i + 1], O_RDONLY);
    if (!dwfl_report_elf(dwfl, arguments[i + 1], arguments[i + 1], fd, strtoull(arguments[i], NULL, 16), 1))
      return fprintf(stderr, "%s: %s\n", arguments[i + 1], dwfl_errmsg(-1)), 1;
  }
  dwfl_report_end(dwfl, NULL, NULL);
  if (!dwfl_attach_state(dwfl, NULL, 1, &threads, NULL)) return fprintf(stderr, "%s\n", dwfl_errmsg(-1)), 1;
  dwfl_getthread_frames(dwfl, 1, frame, NULL); /* warm */
  frames = 0;
  struct timespec before, after;
  clock_gettime(CLOCK_MONOTONIC, &before);
  for (long i = 0; i < repeats; i++) dwfl_getthread_frames(dwfl, 1, frame, NULL);
  clock_gettime(CLOCK_MONOTONIC, &after);
  double took = (after.tv_sec - before.tv_sec) * 1e9 + after.tv_nsec - before.tv_nsec;
  printf("%ld %.0f\n", frames / repeats, took / repeats);
  return 0;
}
