"""Check which paths become which routes, on the paths of three frameworks' documentation and on made-up ones."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from httpreport.routes import routes, shapes
from httpreport.routes.patterns import NO_PATTERNS, RoutePattern, RoutePatterns, parse_lines
from httpreport.routes.routes import decide
from httpreport.routes.segments import is_word, typed
from httpreport.routes.shapes import OTHER, Shape, Shapes, Source, merged, shape_of

CORPORA = sorted((Path(__file__).parent / "data" / "routes").glob("*.txt"))
VALUES = 60  # of each variable segment
HEX = "0123456789abcdef"


def hexadecimal(draw: random.Random, digits: int) -> str:
    return "".join(draw.choice(HEX) for _ in range(digits - 1)) + "7"


def uuid(draw: random.Random) -> str:
    return "-".join(hexadecimal(draw, digits) for digits in (8, 4, 4, 4, 12))


def pod(draw: random.Random) -> str:
    """Return a name as a ReplicaSet makes it (SafeEncodeString of apimachinery), with a digit."""
    return (
        "web-" + "".join(draw.choice("bcdfghjklmnpqrstvwxz2456789") for _ in range(8)) + "-9" + draw.choice("bcd") * 4
    )


MAKE: dict[str, Callable[[random.Random], str]] = {
    "{n}": lambda draw: str(draw.randrange(10**6)),
    "{uuid}": uuid,
    "{hex}": lambda draw: hexadecimal(draw, 32),
    "{date}": lambda draw: f"20{draw.randrange(10, 99)}-0{draw.randrange(1, 10)}-1{draw.randrange(10)}",
    "{pod}": pod,
    "{replicaset}": lambda draw: f"web-{hexadecimal(draw, 9)}x",
    "{job}": lambda draw: f"backup-{draw.randrange(10**8)}",
    "{name}": lambda draw: f"app-{draw.randrange(10**6)}x",
    "{page}": lambda draw: f"page{draw.randrange(10**6)}",
    "{slug}": lambda draw: f"{draw.choice(['a', 'the'])}-site-{draw.randrange(10**6)}",
    "{node}": lambda draw: f"ip-10-0-{draw.randrange(256)}-{draw.randrange(256)}.ec2.internal",
}
TYPED = {"{n}", "{uuid}", "{hex}", "{date}"}


NAMESPACES = ("default", "kube-system")  # few words are no values
KUBERNETES = {
    "pods": "{pod}",
    "replicasets": "{replicaset}",
    "jobs": "{job}",
    "nodes": "{node}",
}  # by what is before it
WORDS_OF = re.compile(r"<slug:\w+>|<(?:username|publisher|page_slug)>|:(?:username|name|identifier)\b")
VALUE = re.compile(r"<(?:\w+:)?\w+>|:\w+|{pk}")


def templates(corpus: Path) -> list[str]:
    """Return the templates of a corpus, with names for what a value of each variable segment looks like."""
    lines = [line for line in corpus.read_text().splitlines() if not line.startswith("#")]
    return list(dict.fromkeys(template for line in lines for template in named(line)))


def named(line: str) -> Iterator[str]:
    """Yield the templates for what a line of a corpus says in the language of its framework."""
    segments = [re.sub(f"({WORDS_OF.pattern})-.*", "{slug}", segment) for segment in line.split("/")]
    segments = [VALUE.sub("{n}", WORDS_OF.sub("{slug}", segment)) for segment in segments]
    segments = [re.sub(r"^([a-z]+){n}$", r"{\1}", re.sub("^[0-9]+$", "{n}", segment)) for segment in segments]
    places = zip(segments, ["", *segments])
    template = "/".join(KUBERNETES.get(before, "{name}") if each == "{name}" else each for each, before in places)
    template = template.replace("/namespaces/{name}", "/namespaces/{namespace}")
    for namespace in NAMESPACES if "{namespace}" in template else [""]:
        yield template.replace("{namespace}", namespace)


def path_of(template: str, draw: random.Random) -> str:
    return re.sub(r"{\w+}", lambda name: MAKE[name[0]](draw), template)


def paths_of(template: str, seed: int) -> set[str]:
    """Return some paths of a template. The same seed makes the same values."""
    return {path_of(template, random.Random(f"{seed}.{number}")) for number in range(VALUES)}


def shapes_of(paths: Iterable[str]) -> Shapes:
    return merged({shape_of(path, NO_PATTERNS): path} for path in paths)


def routes_of(paths: Iterable[str]) -> dict[str, str]:
    listed = list(paths)
    decided = decide(shapes_of(listed))
    return {path: decided.of(shape_of(path, NO_PATTERNS)) for path in listed}


@pytest.mark.parametrize("corpus", CORPORA, ids=lambda corpus: corpus.stem)
def test_the_routes_of_a_documented_api_are_its_templates(corpus: Path) -> None:
    """Two templates differ in a word, so their paths have different routes; values have no part in them."""
    of_template = {template: paths_of(template, 1) for template in templates(corpus)}
    found = routes_of(path for paths in of_template.values() for path in paths)

    by_template = {template: {found[path] for path in paths} for template, paths in of_template.items()}

    assert {template: len(several) for template, several in by_template.items() if len(several) > 1} == {}
    assert len({route for several in by_template.values() for route in several}) == len(by_template)
    for template, (route,) in by_template.items():
        assert route == re.sub(r"{\w+}", lambda name: name[0] if name[0] in TYPED else "{*}", template)


@pytest.mark.parametrize("corpus", CORPORA, ids=lambda corpus: corpus.stem)
def test_two_captures_of_one_service_have_the_same_routes(corpus: Path) -> None:
    several = [{path for template in templates(corpus) for path in paths_of(template, seed)} for seed in (1, 2)]

    first, second, both = (set(routes_of(paths).values()) for paths in (*several, several[0] | several[1]))

    assert first == second == both


WORDS = st.text(st.sampled_from("abz-_"), min_size=1, max_size=4).filter(is_word)
SEGMENTS = st.one_of(WORDS, st.sampled_from(["", "17", "2026-11-22", "a1", "b2", "c3", "v1", "{x}", "9.json", "%20"]))
PATHS = st.lists(SEGMENTS, min_size=1, max_size=4).map(lambda segments: "/" + "/".join(segments))


@given(st.lists(PATHS, max_size=40), st.randoms())
@settings(max_examples=200)
def test_the_order_and_grouping_of_merges_make_no_difference(paths: list[str], draw: random.Random) -> None:
    with mock.patch.multiple(routes, MOST_WORDS=3, MOST_OTHERS=2), mock.patch.object(shapes, "MAX_SHAPES", 8):
        ones: list[Shapes] = [{shape_of(path, NO_PATTERNS): path} for path in paths]
        expected = merged(ones)
        while len(ones) > 1:
            several = [ones.pop(draw.randrange(len(ones))) for _ in range(min(len(ones), draw.randrange(2, 4)))]
            ones.append(merged(several))

        assert dict(merged(ones)) == dict(expected)
        assert decide(merged(ones)).decisions == decide(expected).decisions


@given(st.lists(PATHS, max_size=60))
@settings(max_examples=200)
def test_routes_that_are_decided_again_stay_as_they_are(paths: list[str]) -> None:
    with mock.patch.multiple(routes, MOST_WORDS=3, MOST_OTHERS=2):
        once = {decision.route for decision in decide(shapes_of(paths)).decisions.values()}
        again = decide({Shape(route): route for route in once})

        assert {text: decision.route for text, decision in again.decisions.items()} == {route: route for route in once}


@given(st.lists(PATHS, max_size=40))
def test_paths_that_differ_in_a_word_have_different_routes(paths: list[str]) -> None:
    found = routes_of(paths)
    for one in paths:
        for other in paths:
            pairs = list(zip(one.split("/"), other.split("/")))
            differ = any(mine != its and is_word(mine) and is_word(its) for mine, its in pairs)
            assert not differ or found[one] != found[other]


@pytest.mark.parametrize(
    ("segment", "expected"),
    [
        ("17", "{n}"),
        ("17.json", "{n}.json"),
        ("17:cancel", "{n}:cancel"),
        ("6ba7b810-9dad-11d1-80b4-00c04fd430c8", "{uuid}"),
        ("6ba7b8109dad11d180b400c04fd430c8", "{hex}"),
        ("deadbee0", "{hex}"),
        ("2026-11-22", "{date}"),
        ("2026-11", "{date}"),
        ("2026-11-22T19:06:48Z", "{date}"),
        ("ann@example.org", "{email}"),
        ("ann%40example.org", "{email}"),
        *((same, same) for same in ("deadbeef", "facade", "v1", "v2beta1", "oauth2", "2fa", "a17", "2026-13-45")),
        *((same, same) for same in ("", "{...}", "1.2.3", "@ann", "\u0661\u0662", "me", "..")),
    ],
)
def test_a_segment_is_replaced_only_if_it_is_surely_a_value(segment: str, expected: str) -> None:
    assert typed(segment) == expected


def test_words_are_folded_only_where_there_are_more_than_an_api_has() -> None:
    names = [f"{first}{second}{third}" for first in "abcdefg" for second in "hijklmn" for third in "opqrstu"]

    api = routes_of(f"/rpc/{name}" for name in names[:300])
    users = routes_of([*(f"/users/{name}" for name in names), "/users/search/all", "/users/17"])

    assert len(set(api.values())) == 300
    assert set(users.values()) == {"/users/{*}", "/users/search/all", "/users/{n}"}


def test_a_given_route_comes_first_and_a_grpc_method_stays_as_it_is() -> None:
    patterns = RoutePatterns(map(RoutePattern.parse, ("/users/me", "/users/{name}", "/users/{id}")))

    assert shape_of("/users/17", patterns) == Shape("/users/{name}", Source.PATTERN)
    assert shape_of("/users/me", patterns) == Shape("/users/me", Source.PATTERN)
    assert shape_of("/users/", patterns) == Shape("/users/")
    assert shape_of("/pkg.V1/17", patterns, is_grpc=True) == Shape("/pkg.V1/17", Source.GRPC)


PATTERNS = st.lists(st.sampled_from(["", "a", "b", "{x}", "{y}"]), min_size=1, max_size=3).map(
    lambda segments: "/" + "/".join(segments)
)


@given(st.lists(PATTERNS, max_size=8), st.lists(st.sampled_from(["", "a", "b", "c"]), min_size=1, max_size=3))
def test_the_first_route_that_matches_is_taken(patterns: list[str], segments: list[str]) -> None:
    path = "/" + "/".join(segments)
    forms = {text: re.compile(re.sub(r"\\{\w\\}", "[^/]+", re.escape(text))) for text in patterns}

    found = RoutePatterns(map(RoutePattern.parse, patterns)).find(path)

    assert found == next((text for text in patterns if forms[text].fullmatch(path)), None)


@pytest.mark.parametrize("text", ["", "users", "/users/{id", "/users/{}", "/users/x{id}", "/{a}{b}", "/a\x1b"])
def test_an_invalid_route_pattern_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"route|braces"):
        RoutePattern.parse(text)


def test_a_file_of_routes_has_one_on_each_line() -> None:
    assert [pattern.text for pattern in parse_lines("# mine\n\n /a/{b} \n/c\n")] == ["/a/{b}", "/c"]
    with pytest.raises(ValueError, match="line 2: "):
        list(parse_lines("/a\nb\n"))


def test_each_route_is_explained_by_a_path_that_has_it() -> None:
    names = [f"web-{number}x" for number in range(60)]
    patterns = RoutePatterns([RoutePattern.parse("/users/{id}")])
    paths = ["/users/17", "/a/17/b", "/plain", *(f"/pods/{name}/log/{{...}}" for name in names)]
    many = merged({shape_of(path, patterns): path} for path in paths)

    explained = decide(many).explained()

    assert explained[:3] == [
        "/a/{n}/b  <-  /a/17/b  ({n}: a number)",
        "/plain  <-  /plain  (as it is)",
        "/pods/{*}/log/{...}  <-  /pods/web-0x/log/{...}  ({...}: what the recorder took for a secret; "
        "{*}: 60 segments that are no words in this place, before the same paths)",
    ]
    assert explained[-1] == "/users/{id}  <-  /users/17  (a route pattern)"


def test_what_is_too_many_is_other_and_a_long_path_has_an_end() -> None:
    with mock.patch.object(shapes, "MAX_SHAPES", 10):
        paths = [f"/{chr(97 + number)}" for number in range(20)]
        found = list(routes_of(paths).values())

    assert (found.count(OTHER.text), len(set(found))) == (10, 11)
    assert shape_of("/a" * 500, NO_PATTERNS).text == "/a" * (shapes.MAX_SEGMENTS - 1) + "/{rest}"
