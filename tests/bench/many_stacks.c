/*
 * Makes EVENTS page faults with STACKS distinct stacks of 24 functions, for perf to record: a fault is an event that any
 * user may record, as often as it comes.
 *
 *     many_stacks EVENTS STACKS
 */

#include <stdlib.h>
#include <sys/mman.h>

#define FRAMES 24
#define PAGES 4096
#define PAGE 4096

static volatile char *page;

static int left(unsigned path, int depth);
static int right(unsigned path, int depth);

static int deeper(unsigned path, int depth)
{
	if (!depth)
		return *page = 1;
	return path & 1 ? left(path >> 1, depth - 1) : right(path >> 1, depth - 1);
}

/* What is added after the call keeps the compiler from making it a jump. */
static int left(unsigned path, int depth)
{
	return deeper(path, depth) + 1;
}

static int right(unsigned path, int depth)
{
	return deeper(path, depth) + 2;
}

int main(int count, char **words)
{
	long events = count > 1 ? atol(words[1]) : 0, stacks = count > 2 ? atol(words[2]) : 1;
	char *memory = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED || madvise(memory, PAGES * PAGE, MADV_NOHUGEPAGE))
		return 1;
	for (long event = 0; event < events; event++) {
		if (event % PAGES == 0)
			madvise(memory, PAGES * PAGE, MADV_DONTNEED);
		page = memory + event % PAGES * PAGE;
		left(event % stacks, FRAMES / 2 - 2); /* two functions a step; main and those around it are the others */
	}
	return 0;
}
