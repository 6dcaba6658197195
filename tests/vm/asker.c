/*
 * asker PORT NAME [OTHER]: asks for /NAME on 127.0.0.1 as the letters on its standard input say, until that ends.
 *
 *   c  ask        t  ask from a thread, when the main thread has ended (read no more letters)
 *   b  ask from a thread, below a buffer on its stack that was never used: its pages are not in memory
 *   d  ask through the library OTHER, loaded now
 *   e  become the program OTHER
 *   j  ask through code made at run time      J  the same, with a perf-PID.map that names the code
 *   l  ask, and be gone 10 ms later
 *
 * Each goes through outer, middle, ask; with -Douter=... and so on it is another build, or with -shared the library.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define CHAIN __attribute__((noinline, noclone))

static char *port, *name;

CHAIN int ask(int connection, char *name)
{
	char text[256];
	int size = snprintf(text, sizeof(text), "GET /%s HTTP/1.1\r\nHost: guest\r\n\r\n", name);

	if (send(connection, text, size, 0) != size)
		abort();
	return recv(connection, text, sizeof(text), 0) + text[9];
}

CHAIN int middle(int connection, char *name) { return ask(connection, name) + 1; }

CHAIN int outer(int connection, char *name) { return middle(connection, name) + 1; }

static int connected(void)
{
	struct sockaddr_in address = { AF_INET, htons(atoi(port)), { htonl(INADDR_LOOPBACK) } };
	int connection = socket(AF_INET, SOCK_STREAM, 0);

	if (connect(connection, (struct sockaddr *)&address, sizeof(address)))
		abort();
	return connection;
}

/* The code follows frame pointers, as that of run-time compilers does: push rbp; mov rbp, rsp; call rdx; pop rbp; ret */
static void ask_through_new_code(int with_map)
{
	static const unsigned char code[] = { 0x55, 0x48, 0x89, 0xe5, 0xff, 0xd2, 0x5d, 0xc3 };
	void *at = mmap(0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char path[64];
	FILE *map;

	memcpy(at, code, sizeof(code));
	if (with_map) {
		snprintf(path, sizeof(path), "/tmp/perf-%d.map", getpid());
		map = fopen(path, "w");
		fprintf(map, "%lx %zx nova::render\n", (unsigned long)at, sizeof(code));
		fclose(map);
	}
	((void (*)(int, char *, int (*)(int, char *)))at)(connected(), name, outer);
}

static void *ask_when_the_main_thread_has_ended(void *nothing)
{
	char line[64] = "", path[64];
	FILE *status;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", getpid());
	while (!strstr(line, ") Z ")) {
		usleep(1000);
		status = fopen(path, "r");
		if (!fgets(line, sizeof(line), status))
			abort();
		fclose(status);
	}
	outer(connected(), name);
	read(0, line, 1);
	_exit(0);
}

static void *ask_below_a_buffer(void *nothing)
{
	char buffer[10240];

	asm volatile("" : : "r"(buffer) : "memory");
	outer(connected(), name);
	asm volatile("" : : "r"(buffer) : "memory");
	return nothing;
}

int main(int argc, char **argv)
{
	pthread_t thread;
	char letter;

	port = argv[1];
	name = argv[2];
	while (read(0, &letter, 1) == 1) {
		switch (letter) {
		case 'c':
			outer(connected(), name);
			break;
		case 't':
			pthread_create(&thread, 0, ask_when_the_main_thread_has_ended, 0);
			pthread_exit(0);
		case 'b':
			prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0); /* a huge page would bring the whole stack */
			pthread_create(&thread, 0, ask_below_a_buffer, 0);
			pthread_join(thread, 0);
			break;
		case 'd':
			((int (*)(int, char *))dlsym(dlopen(argv[3], RTLD_NOW), "library_outer"))(connected(), name);
			break;
		case 'e':
			execl(argv[3], argv[3], port, name, NULL);
			abort();
		case 'j':
		case 'J':
			ask_through_new_code(letter == 'J');
			break;
		case 'l':
			outer(connected(), name);
			usleep(10000);
			_exit(0);
		}
	}
	return argc > 4;
}
