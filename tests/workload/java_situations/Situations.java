import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.io.PrintWriter;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.util.Iterator;
import java.util.List;
import java.util.function.IntFunction;

/**
 * Send a request from each of many situations, and note what Thread.dumpStack says on the line that sends.
 *
 * java Situations NOTES NAME: each line of standard input makes a round, after which "noted" is printed. Notes are lines
 * of JSON, which are appended. The threads that send have this name; another one sends each byte back.
 */
public class Situations {
    static final String REST_OF_REQUEST = " / HTTP/1.1\r\n\r\n";
    static final int SIZE = 8 + REST_OF_REQUEST.length();

    static Socket socket;
    static PrintWriter notes;
    static String situation;
    static int count;

    /** Note the frames of the caller, and return what it has to send, which is another request each time. */
    static byte[] note() {
        ByteArrayOutputStream dumped = new ByteArrayOutputStream();
        PrintStream before = System.err;
        System.setErr(new PrintStream(dumped));
        Thread.dumpStack();
        System.setErr(before);
        String request = String.format("N%07d", count++); // a method of HTTP/1: of other bytes a capture has nothing
        StringBuilder frames = new StringBuilder();
        String[] lines = dumped.toString().split("\n");
        for (int i = 3; i < lines.length; i++) { // after the exception, dumpStack and this function
            frames.append(i == 3 ? "\"" : ", \"").append(lines[i].strip().substring("at ".length())).append('"');
        }
        notes.printf("{\"situation\": \"%s\", \"request\": \"%s\", \"frames\": [%s]}%n", situation, request, frames);
        return (request + REST_OF_REQUEST).getBytes();
    }

    static void send() {
        try {
            socket.getOutputStream().write(note());
            new DataInputStream(socket.getInputStream()).readFully(new byte[SIZE]);
        } catch (IOException failure) {
            throw new UncheckedIOException(failure);
        }
    }

    static class Shop implements Runnable, Iterable<Integer>, Comparable<Shop> {
        Shop(boolean now) { if (now) send(); }
        public void run() { send(); }
        public int compareTo(Shop other) { send(); return 0; }
        public Iterator<Integer> iterator() { send(); return List.<Integer>of().iterator(); }
        @Override public String toString() { send(); return ""; }
        synchronized <T extends Number> T checkout(T price, int[] basket, Object... more) { send(); return price; }
        void inner() { new Inner().pay(); }
        class Inner { private void pay() { send(); } }
    }
    static class Branch extends Shop {
        Branch() { super(true); }
        @Override public void run() { super.run(); }
    }
    static class Initialized { static { send(); } static void touch() { } }
    interface Defaults { default void offered() { send(); } }

    static void recursive(int depth) { if (depth > 0) recursive(depth - 1); else send(); }
    static void handler() { try { throw new IllegalStateException(); } catch (IllegalStateException e) { send(); } }
    static void last() { try { count += 0; } finally { send(); } }
    static long wide(long a, double b, String c, float d, byte e, char f, short g, boolean h) { send(); return a; }
    static void switched(Object one) { switch (one.toString()) { case "a": send(); break; default: throw new Error(); } }
    static void inThread() throws InterruptedException {
        Thread thread = new Thread(new Shop(false), Thread.currentThread().getName());
        thread.start();
        thread.join();
    }

    interface Situation { void run() throws Exception; }

    static void round() throws Exception {
        make("a static method", () -> send());
        make("a method", () -> new Shop(false).run());
        make("a method with super", () -> new Branch().run());
        make("a generic method", () -> new Shop(false).checkout(1, new int[0], "more"));
        make("a nested class", () -> new Shop(false).inner());
        make("a constructor", () -> new Shop(true));
        make("an initializer of a class", () -> Initialized.touch());
        make("a default method", () -> new Defaults() { }.offered());
        make("a recursion", () -> recursive(1));
        make("a deep recursion", () -> recursive(40));
        make("an exception handler", () -> handler());
        make("a finally block", () -> last());
        make("many arguments", () -> wide(1, 2, "3", 4, (byte) 5, '6', (short) 7, true));
        make("a switch", () -> switched("a"));
        make("a comparison", () -> new Shop(false).compareTo(null));
        make("an iteration", () -> { for (int one : new Shop(false)) throw new Error(); });
        make("a conversion", () -> String.valueOf(new Shop(false)));
        make("a lambda", () -> { IntFunction<Object> made = x -> { send(); return x; }; made.apply(1); });
        make("a stream", () -> List.of(1).stream().map(x -> { send(); return x; }).forEach(x -> { }));
        make("a reflection", () -> Shop.class.getMethod("run").invoke(new Shop(false)));
        make("a thread", () -> inThread());
    }

    static void make(String name, Situation one) throws Exception {
        situation = name;
        one.run();
    }

    static void echo(ServerSocket server) {
        try (Socket accepted = server.accept()) {
            DataInputStream input = new DataInputStream(accepted.getInputStream());
            for (byte[] bytes = new byte[SIZE]; true; ) {
                input.readFully(bytes);
                accepted.getOutputStream().write(bytes);
            }
        } catch (IOException ended) {
        }
    }

    public static void main(String[] args) throws Exception {
        ServerSocket server = new ServerSocket(0, 1, InetAddress.getLoopbackAddress());
        Thread echoes = new Thread(() -> echo(server), "echo");
        echoes.setDaemon(true);
        echoes.start();
        socket = new Socket(server.getInetAddress(), server.getLocalPort());
        socket.setTcpNoDelay(true);
        Thread.currentThread().setName(args[1]);
        notes = new PrintWriter(new FileOutputStream(args[0], true));
        while (System.in.read() == '\n') {
            round();
            notes.flush();
            System.out.println("noted");
        }
    }
}
