<?php
// Send requests, and note what PHP itself says of the frames of each send.

namespace Notes;

const INTERNAL = '<internal>';

/** Write lines of JSON: situation, request, and [function, file, line] of each frame, innermost first. */
final class Notes
{
    private static $file;
    private static int $count = 0;
    private static string $situation = '';
    private static $socket;
    public static int $port = 0;

    public static function open(string $path, int $port): void
    {
        self::$file = fopen($path, 'w');
        self::$port = $port;
    }

    public static function connect(): void
    {
        self::$socket = fsockopen('127.0.0.1', self::$port);
    }

    public static function situation(string $name): void
    {
        self::$situation = $name;
    }

    /** Return the next request, of which the first 8 bytes tell it from others. */
    public static function path(): string
    {
        return str_pad(base_convert((string) self::$count++, 10, 36), 3, '0', STR_PAD_LEFT);
    }

    /** Note the frames of a function of PHP itself that sends the request for a path, called where the trace begins. */
    public static function note(string $path, array $trace, array $sender, string $file, int $line): void
    {
        $frames = array_map(fn ($name) => [$name, INTERNAL, null], $sender);
        foreach ($trace as $entry) {
            $frames[] = [self::name($entry), $file ?? INTERNAL, $line];
            [$file, $line] = [$entry['file'] ?? null, $entry['line'] ?? null];
        }
        if ($file !== null) {
            $frames[] = ['{main}', $file, $line];
        }
        $note = ['situation' => self::$situation, 'request' => "GET /$path", 'frames' => $frames];
        fwrite(self::$file, json_encode($note, JSON_THROW_ON_ERROR | JSON_UNESCAPED_SLASHES) . "\n");
    }

    private static function name(array $entry): string
    {
        if (in_array($entry['function'], ['include', 'include_once', 'require', 'require_once', 'eval'], true)) {
            return '{main}';
        }
        $class = strtok($entry['class'] ?? '', "\0");
        return ($class === false ? '' : "$class::") . $entry['function'];
    }

    public static function request(string $path): string
    {
        return "GET /$path HTTP/1.1\r\nHost: localhost\r\n\r\n";
    }

    public static function answered(): void
    {
        fread(self::$socket, 4096);
    }

    public static function socket()
    {
        return self::$socket;
    }
}

/** Send a request and wait for its answer. */
function send(): void
{
    $path = Notes::path();
    Notes::note($path, debug_backtrace(DEBUG_BACKTRACE_IGNORE_ARGS), ['fwrite'], __FILE__, __LINE__); fwrite(Notes::socket(), Notes::request($path));
    Notes::answered();
}

/** Do the same by PHP's own client of HTTP, on a connection of its own. */
function get(): void
{
    $path = Notes::path();
    $url = 'http://127.0.0.1:' . Notes::$port . "/$path";
    Notes::note($path, debug_backtrace(DEBUG_BACKTRACE_IGNORE_ARGS), ['file_get_contents'], __FILE__, __LINE__); file_get_contents($url);
}

/** Do the same by curl. */
function curl(): void
{
    $path = Notes::path();
    $handle = curl_init('http://127.0.0.1:' . Notes::$port . "/$path");
    curl_setopt($handle, CURLOPT_RETURNTRANSFER, true);
    Notes::note($path, debug_backtrace(DEBUG_BACKTRACE_IGNORE_ARGS), ['curl_exec'], __FILE__, __LINE__); curl_exec($handle);
}
