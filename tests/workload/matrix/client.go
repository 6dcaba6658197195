// Ask for each path that standard input names, one after the other, and print when it was asked for and when the whole
// answer was there, by CLOCK_MONOTONIC.
//
//	client URL PROTOCOL CONNECTIONS [resumed]
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"unsafe"
)

const clockMonotonic = 1

func now() int64 {
	var at syscall.Timespec
	syscall.Syscall(syscall.SYS_CLOCK_GETTIME, clockMonotonic, uintptr(unsafe.Pointer(&at)), 0)
	return at.Nano()
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// connectAhead connects before anybody asks for anything, and returns a function that hands the connection out once.
func connectAhead(address string, secure *tls.Config) func(context.Context, string, string) (net.Conn, error) {
	var ready net.Conn
	var err error
	if secure != nil {
		ready, err = tls.Dial("tcp", address, secure)
	} else {
		ready, err = net.Dial("tcp", address)
	}
	must(err)
	return func(context.Context, string, string) (net.Conn, error) { return ready, nil }
}

func main() {
	base, protocol, connections := os.Args[1], os.Args[2], os.Args[3]
	settings := &tls.Config{InsecureSkipVerify: true}
	if len(os.Args) > 4 {
		settings.ClientSessionCache = tls.NewLRUClientSessionCache(0)
	}
	transport := &http.Transport{TLSClientConfig: settings, DisableKeepAlives: connections == "new"}
	if protocol == "http2" {
		transport.ForceAttemptHTTP2 = true
	} else {
		transport.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
	}
	if connections == "ahead" {
		address := base[strings.LastIndex(base, "/")+1:]
		if strings.HasPrefix(base, "https") {
			transport.DialTLSContext = connectAhead(address, settings)
		} else {
			transport.DialContext = connectAhead(address, nil)
		}
	}
	client := &http.Client{Transport: transport}
	fmt.Println("ready")
	paths := bufio.NewScanner(os.Stdin)
	for paths.Scan() {
		begun := now()
		response, err := client.Get(base + paths.Text())
		must(err)
		_, err = io.Copy(io.Discard, response.Body)
		must(err)
		response.Body.Close()
		fmt.Printf("{\"path\": %q, \"pid\": %d, \"t0\": %d, \"t3\": %d}\n", paths.Text(), os.Getpid(), begun, now())
	}
}
