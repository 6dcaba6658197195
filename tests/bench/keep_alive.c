/*
 * A keep-alive load: each connection is a thread that asks, reads the whole response, and asks again.
 *
 *     keep_alive PORT CONNECTIONS SECONDS PATH...       (connection n asks for path n, n + 1, ... in turn)
 *
 * Prints the requests that were answered, how many a second, and the median and 99th percentile of their time in
 * microseconds. The thread at each connection counts its own; nothing is shared while they run.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MOST_SAMPLES = 1 << 20 };

static struct sockaddr_in server = { .sin_family = AF_INET };
static uint64_t deadline;
static char **paths;
static int path_count;

struct connection {
	pthread_t thread;
	int number;
	uint32_t *times, count; /* ns */
};

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

/* Reads one response with a Content-Length. */
static void read_response(int sock)
{
	static __thread char buffer[1 << 17];
	size_t filled = 0, wanted = 0;

	while (!wanted || filled < wanted) {
		ssize_t got = recv(sock, buffer + filled, sizeof(buffer) - 1 - filled, 0);
		char *end, *length;

		if (got <= 0)
			fail("recv");
		filled += got;
		buffer[filled] = 0;
		end = wanted ? NULL : strstr(buffer, "\r\n\r\n");
		if (end) {
			length = strcasestr(buffer, "\r\nContent-Length:");
			wanted = end + 4 - buffer + (length && length < end ? atol(length + 17) : 0);
			if (wanted >= sizeof(buffer)) {
				fprintf(stderr, "a response of %zu bytes\n", wanted);
				exit(1);
			}
		}
	}
}

static void *call_until_the_deadline(void *argument)
{
	struct connection *c = argument;
	int sock = socket(AF_INET, SOCK_STREAM, 0), on = 1, next = c->number;
	char request[512];
	uint64_t begin, end;

	if (sock < 0 || connect(sock, (struct sockaddr *)&server, sizeof(server)))
		fail("connect");
	setsockopt(sock, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	do {
		int size = snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: bench\r\nX-Request: %d-%u\r\n\r\n",
				    paths[next++ % path_count], c->number, c->count);

		begin = now();
		if (send(sock, request, size, 0) != size)
			fail("send");
		read_response(sock);
		end = now();
		if (c->count < MOST_SAMPLES)
			c->times[c->count++] = end - begin;
	} while (end < deadline);
	close(sock);
	return NULL;
}

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	if (argc < 5)
		return 2;
	int count = atoi(argv[2]);
	struct connection *all = calloc(count, sizeof(*all));
	uint64_t begin = now(), total = 0;
	uint32_t *times;

	server.sin_port = htons(atoi(argv[1]));
	server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	deadline = begin + (uint64_t)(atof(argv[3]) * 1e9);
	paths = argv + 4;
	path_count = argc - 4;
	for (int i = 0; i < count; i++) {
		all[i].number = i;
		all[i].times = malloc(MOST_SAMPLES * sizeof(uint32_t)); /* touched as far as used */
		if (pthread_create(&all[i].thread, NULL, call_until_the_deadline, &all[i]))
			fail("pthread_create");
	}
	for (int i = 0; i < count; i++) {
		pthread_join(all[i].thread, NULL);
		total += all[i].count;
	}
	double seconds = (now() - begin) / 1e9;
	times = malloc(total * sizeof(*times));
	for (int i = 0, at = 0; i < count; at += all[i++].count)
		memcpy(times + at, all[i].times, all[i].count * sizeof(*times));
	qsort(times, total, sizeof(*times), compare);
	printf("%lu %.1f %.1f %.1f\n", total, total / seconds, times[total / 2] / 1e3, times[total * 99 / 100] / 1e3);
	return 0;
}
