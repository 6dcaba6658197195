import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.security.cert.X509Certificate;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManager;
import javax.net.ssl.X509TrustManager;

/**
 * Ask for each path that standard input names, one after the other, and print when it was asked for and when the whole
 * answer was there (System.nanoTime is CLOCK_MONOTONIC on Linux): java Client.java URL PROTOCOL CONNECTIONS [resumed]
 */
public class Client {
    static final class TrustAll implements X509TrustManager {
        public void checkClientTrusted(X509Certificate[] chain, String type) { }
        public void checkServerTrusted(X509Certificate[] chain, String type) { }
        public X509Certificate[] getAcceptedIssuers() { return new X509Certificate[0]; }
    }

    static SSLContext context() throws Exception {
        SSLContext made = SSLContext.getInstance("TLS");
        made.init(null, new TrustManager[] {new TrustAll()}, null);
        return made;
    }

    static HttpClient client(String protocol, SSLContext context) {
        HttpClient.Version version = protocol.equals("http1") ? HttpClient.Version.HTTP_1_1 : HttpClient.Version.HTTP_2;
        return HttpClient.newBuilder().version(version).sslContext(context).build();
    }

    public static void main(String[] args) throws Exception {
        System.setProperty("jdk.internal.httpclient.disableHostnameVerification", "true");
        boolean isNew = args[2].equals("new");
        SSLContext shared = context();
        HttpClient kept = client(args[1], shared);
        System.out.println("ready");
        BufferedReader paths = new BufferedReader(new InputStreamReader(System.in));
        for (String path = paths.readLine(); path != null; path = paths.readLine()) {
            HttpClient used = isNew ? client(args[1], args.length > 3 ? shared : context()) : kept;
            HttpRequest request = HttpRequest.newBuilder(URI.create(args[0] + path)).build();
            long begun = System.nanoTime();
            used.send(request, BodyHandlers.ofString());
            String format = "{\"path\": \"%s\", \"pid\": %d, \"t0\": %d, \"t3\": %d}%n";
            System.out.printf(format, path, ProcessHandle.current().pid(), begun, System.nanoTime());
        }
        System.exit(0);
    }
}
