/*
 * storm PROCESSES AT_A_TIME [A_SECOND]: short processes, that many a second or as fast as they can be made. Each gives
 * itself a name of its own, asks a thread of the first process over loopback, and is gone. Every hundredth stays
 * until all have been.
 *
 * Prints a line for each, in the order of their beginnings: name, pid, and the nanoseconds of CLOCK_BOOTTIME between
 * which it began. Then, on standard error, how many there were and how many a second. It ends when its standard input
 * does.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { STAYS_OF = 100 };

static struct sockaddr_in address = { .sin_family = AF_INET };
static int listener;

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static void *answer(void *nothing)
{
	static const char response[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
	char buffer[256];
	int connection;

	prctl(PR_SET_NAME, "server");
	for (;;) {
		connection = accept(listener, NULL, NULL);
		if (connection < 0)
			fail("accept");
		if (recv(connection, buffer, sizeof(buffer), 0) > 0)
			send(connection, response, sizeof(response) - 1, MSG_NOSIGNAL);
		close(connection);
	}
	return nothing;
}

static void ask_and_end(const char *name, int stays)
{
	static const char request[] = "GET / HTTP/1.1\r\nHost: guest\r\n\r\n";
	char buffer[256];
	int connection = socket(AF_INET, SOCK_STREAM, 0);

	prctl(PR_SET_NAME, name);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (connect(connection, (struct sockaddr *)&address, sizeof(address)))
		_exit(1);
	if (send(connection, request, sizeof(request) - 1, 0) < 0)
		_exit(1);
	if (recv(connection, buffer, sizeof(buffer), 0) <= 0)
		_exit(1);
	if (stays)
		raise(SIGSTOP);
	_exit(0); /* which closes the connection */
}

static void wait_for_one(void)
{
	int status;

	if (waitpid(-1, &status, WUNTRACED) < 0)
		fail("waitpid");
	if (status && !WIFSTOPPED(status)) {
		fprintf(stderr, "a process of the storm ended with status %d\n", status);
		exit(1);
	}
}

int main(int argc, char **argv)
{
	int processes = atoi(argv[1]), at_a_time = atoi(argv[2]), under_way = 0, stays, i;
	uint64_t apart = argc > 3 ? 1000000000 / atoi(argv[3]) : 0, began, before, after;
	socklen_t size = sizeof(address);
	pthread_t server;
	char name[16];
	double seconds;
	pid_t pid;

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	listener = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(listener, (struct sockaddr *)&address, size) || listen(listener, at_a_time))
		fail("listen");
	getsockname(listener, (struct sockaddr *)&address, &size);
	if (pthread_create(&server, NULL, answer, NULL))
		fail("pthread_create");
	began = now();
	for (i = 0; i < processes; i++) {
		stays = i % STAYS_OF == STAYS_OF - 1;
		for (; under_way >= at_a_time; under_way--)
			wait_for_one();
		while (now() < began + i * apart)
			usleep(50);
		snprintf(name, sizeof(name), "storm%d", i);
		before = now();
		pid = fork();
		after = now();
		if (!pid)
			ask_and_end(name, stays);
		if (pid < 0)
			fail("fork");
		under_way++;
		printf("%s %d %llu %llu\n", name, pid, (unsigned long long)before, (unsigned long long)after);
	}
	for (; under_way; under_way--)
		wait_for_one();
	seconds = (now() - began) / 1e9;
	fflush(stdout);
	fprintf(stderr, "%d processes in %.2f s, %.0f a second\n", processes, seconds, processes / seconds);
	read(0, name, 1);
	return 0;
}
