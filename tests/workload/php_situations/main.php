<?php
// Send from the situations that PHP has: php main.php NOTES PORT REPLACED

namespace Shop;

use Notes\Notes;
use function Notes\{curl, get, send};

require __DIR__ . '/notes.php';

function plain(): void
{
    send();
}

function öffnen(): void
{
    send();
}

function recursion(int $depth): void
{
    if ($depth > 1) {
        recursion($depth - 1);
        return;
    }
    send();
}

trait Ships
{
    public function ship(): void
    {
        send();
    }
}

class Order implements \ArrayAccess, \IteratorAggregate, \JsonSerializable, \Countable
{
    use Ships;

    public function __construct(bool $sends = false)
    {
        $sends && send();
    }

    public static function place(): void
    {
        send();
    }

    public function __call(string $name, array $arguments): void
    {
        send();
    }

    public static function __callStatic(string $name, array $arguments): void
    {
        send();
    }

    public function __get(string $name): int
    {
        send();
        return 1;
    }

    public function __invoke(): void
    {
        send();
    }

    public function __toString(): string
    {
        send();
        return 'order';
    }

    public function offsetExists(mixed $offset): bool
    {
        send();
        return true;
    }

    public function offsetGet(mixed $offset): mixed
    {
        send();
        return 1;
    }

    public function offsetSet(mixed $offset, mixed $value): void
    {
        send();
    }

    public function offsetUnset(mixed $offset): void
    {
        send();
    }

    public function getIterator(): \Iterator
    {
        send();
        return new \ArrayIterator([1]);
    }

    public function jsonSerialize(): mixed
    {
        send();
        return 1;
    }

    public function count(): int
    {
        send();
        return 1;
    }
}

class Closing
{
    public function __destruct()
    {
        send();
    }
}

class Child extends Order
{
    public static function place(): void
    {
        parent::place();
    }
}

function generator(): \Generator
{
    send();
    yield 1;
    send();
    yield 2;
}

function delegating(): \Generator
{
    yield from generator();
}

function thrown(): void
{
    try {
        throw new \RuntimeException('no');
    } catch (\RuntimeException) {
        send();
    } finally {
        send();
    }
}

/** A stream whose functions PHP calls. */
class Made
{
    public $context;
    private string $left = 'x';

    public function stream_open(): bool
    {
        send();
        return true;
    }

    public function stream_read(int $count): string
    {
        [$read, $this->left] = [$this->left, ''];
        return $read;
    }

    public function stream_eof(): bool
    {
        return $this->left === '';
    }

    public function stream_stat(): array
    {
        return [];
    }

    public function stream_set_option(int $option, int $first, ?int $second): bool
    {
        return false;
    }
}

/** Keep a closure, so that it is not freed before it can be read. */
function kept(\Closure $closure): \Closure
{
    static $all = [];
    return $all[] = $closure;
}

$situations = [
    'plain' => fn () => plain(),
    'of http' => fn () => get(),
    'curl' => fn () => function_exists('curl_init') && curl(),
    'a name that is not ASCII' => fn () => öffnen(),
    'recursion 10' => fn () => recursion(10),
    'recursion 40' => fn () => recursion(40),
    'recursion 100' => fn () => recursion(100),
    'method' => fn () => (new Order())->ship(),
    'constructor' => fn () => new Order(true),
    'static method' => fn () => Order::place(),
    'method of a parent' => fn () => Child::place(),
    '__call' => fn () => (new Order())->anything(),
    '__callStatic' => fn () => Order::anything(),
    '__get' => fn () => (new Order())->anything,
    '__invoke' => fn () => (new Order())(),
    '__toString' => fn () => (string) new Order(),
    '__toString, by a function of PHP' => fn () => strlen(new Order()),
    'offsetExists' => fn () => isset((new Order())[1]),
    'offsetGet' => fn () => (new Order())[1],
    'offsetSet' => function () {
        $order = new Order();
        $order[1] = 2;
        unset($order[1]);
    },
    'getIterator' => function () {
        foreach (new Order() as $_) {
        }
    },
    'jsonSerialize' => fn () => json_encode([new Order()]),
    'count' => fn () => count(new Order()),
    '__destruct' => function () {
        $closing = new Closing();
        $closing = null;
    },
    'array_map' => fn () => array_map(kept(fn ($x) => send()), [1]),
    'array_map of a name' => fn () => array_map('Shop\recursion', [3]),
    'usort' => function () {
        $values = [2, 1];
        usort($values, kept(function ($a, $b) {
            send();
            return $a <=> $b;
        }));
    },
    'call_user_func' => fn () => call_user_func('Shop\plain'),
    'call_user_func of a method' => fn () => call_user_func_array([new Order(), 'ship'], []),
    'first-class callable' => fn () => kept((new Order())->ship(...))(),
    'closure from callable' => fn () => kept(\Closure::fromCallable('Shop\plain'))(),
    'bound closure' => fn () => kept(\Closure::bind(function () {
        send();
    }, new Order(), Order::class))(),
    'generator' => function () {
        foreach (generator() as $_) {
        }
    },
    'generator, by a function of PHP' => fn () => iterator_to_array(generator()),
    'fiber' => fn () => (new \Fiber(kept(fn () => plain())))->start(),
    'fiber, resumed' => function () {
        $fiber = new \Fiber(kept(function () {
            \Fiber::suspend();
            send();
        }));
        $fiber->start();
        $fiber->resume();
    },
    'yield from' => function () {
        foreach (delegating() as $_) {
        }
    },
    'anonymous class' => fn () => (new class {
        public function run(): void
        {
            send();
        }
    })->run(),
    'include' => fn () => include __DIR__ . '/included.php',
    'eval' => fn () => eval("\n\nNotes\\send();"),
    'closure of eval' => fn () => kept(eval('return function () { Notes\send(); };'))(),
    'exception' => fn () => thrown(),
    'output callback' => function () {
        ob_start(kept(function ($text) {
            send();
            return '';
        }));
        echo 'x';
        ob_end_flush();
    },
    'preg_replace_callback' => fn () => preg_replace_callback('/x/', kept(function ($match) {
        send();
        return '';
    }), 'x'),
    'reflection' => fn () => (new \ReflectionMethod(Order::class, 'ship'))->invoke(new Order()),
    'autoload' => function () {
        spl_autoload_register($load = kept(function ($name) {
            send();
        }));
        spl_autoload_call('Missing');
        spl_autoload_unregister($load);
    },
    'stream of the program' => function () {
        stream_wrapper_register('made', Made::class);
        file_get_contents('made://x');
    },
    'arguments of several lines' => fn () => array_sum([
        1,
        strlen((string) new Order()),
    ]),
];

Notes::open($argv[1], (int) $argv[2]);
fgets(STDIN);
Notes::connect();
foreach ($situations as $name => $situation) {
    Notes::situation($name);
    $situation();
}

Notes::situation('replaced, eval');
for ($i = 0; $i < (int) $argv[3]; $i++) {
    $function = eval(sprintf("namespace n%05d; return function () { \\Notes\\send(); };", $i));
    $function();
}
Notes::situation('replaced, include');
for ($i = 0; $i < (int) $argv[3]; $i++) {
    $path = sprintf('%s.%05d.php', $argv[1], $i);
    file_put_contents($path, '<?php Notes\send(); return 1;');
    include $path;
    unlink($path);
}
echo "noted\n";
fgets(STDIN); // all functions live until they have been read
