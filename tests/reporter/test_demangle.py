"""Check that demangled names equal those of binutils' c++filt, and that hostile names take little time and memory."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from httpreport.elf.demangle import MAX_DEMANGLED, MAX_MANGLED, demangle
from httpreport.elf.elf import read_elf
from httpreport.elf.symbol_table import read_symbols
from support.compiled import run


@pytest.mark.parametrize(
    ("mangled", "readable"),
    [
        ("_ZN3foo3barEv", "foo::bar()"),
        (
            "_ZNSt6vectorIiSaIiEE9push_backERKi",
            "std::vector<int, std::allocator<int> >::push_back(int const&)",
        ),
        ("_ZN3foo3barEv.cold", "foo::bar() [clone .cold]"),
        ("_ZN3std2io4Read11read_to_end17hb85a0f6802e14499E", "std::io::Read::read_to_end"),
        ("_RNvC6_123foo3bar", "123foo::bar"),
        ("_RNvMNtCs1234_7mycrate3fooINtB2_3BarmE3baz", "<mycrate::foo::Bar<u32>>::baz"),
        ("gopkg.in/yaml%2ev3.(*Decoder).Decode", "gopkg.in/yaml.v3.(*Decoder).Decode"),
        ("net/http.(*Server).Serve", "net/http.(*Server).Serve"),
    ],
)
def test_names_of_each_language_are_demangled(mangled: str, readable: str) -> None:
    assert demangle(mangled) == readable


@pytest.mark.parametrize(
    "name",
    [
        "main",
        "h__Fi",
        "set__3FooFi",
        "pkg__sub",
        "foo_",
        "_start",
        "_R",
        "_Z",
        "a.b",
        "100%41",
        "_D3fooQe",
        "",
    ],
)
def test_plain_names_stay_as_they_are(name: str) -> None:
    assert demangle(name) == name


def test_agrees_with_cxxfilt_on_a_real_library() -> None:
    """Names that c++filt spells differently are left out: `std::string` and the like (Ss, Si, ...), number suffixes."""
    table = read_symbols(read_elf(Path("/lib/x86_64-linux-gnu/libstdc++.so.6").resolve().read_bytes()))
    names = [table.symbol(row, 0).name for row in range(len(table))]
    names = [name for name in names if name.startswith("_Z") and not re.search("S[sabiod]|Dn", name)]
    shown = run("c++filt", *names).splitlines()
    ours = [re.sub(r"\((?:unsigned )?(?:long|int)\)(\d+)", r"\1", demangle(name)) for name in names]
    theirs = [re.sub(r"\b(\d+)u?l\b", r"\1", name) for name in shown]
    assert len(names) > 1000
    assert [pair for pair in zip(ours, theirs) if pair[0] != pair[1]] == []
    for special in ("non-virtual thunk to ", "virtual thunk to "):
        assert sum(name.startswith(special) for name in ours) > 5


@pytest.mark.parametrize(
    "name",
    [
        "_ZThn16_N1DD1Ev",
        "_ZTh8_1fi",
        "_ZThn16_N1VIiE1mEOi",
        "_ZThn16_ZZ3mk3vENKUliE_clEiEN1QD0Ev",
        "_ZThn16_N12_GLOBAL__N_11LD0Ev",
        "_ZThn16_N1a1bEv.cold",
        "_ZThn16_N1a1bEv.constprop.0.isra.0",
        "_ZTv0_n40_N1B1fERKi",
        "_ZTv0_n24_N1DD0Ev",
        "_ZTch0_h16_N1Z4selfEv",
        "_ZTch0_v0_n24_N1B5cloneEv",
        "_ZTchn16_h16_N1D5cloneEv",
        "_ZTcv0_n32_v0_n24_N1C5cloneEv",
        "_ZTcv0_n24_hn16_N1a5cloneEv",
        "_ZThn8_Thn8_N1a1bEv",
        "_ZTV1VIiE",
        "_ZTVN12_GLOBAL__N_11LE",
        "_ZTVN1a1bE.localalias",
        "_ZTT1D",
        "_ZTC1D16_1C",
        "_ZTC1DIiE0_1BIiE",
        "_ZTI1a",
        "_ZTS1a",
        "_ZTHN1a1bE",
        "_ZTWN1a1bE",
        "_ZGVZ4oncevE1s",
        "_ZGTtN1a1bEv",
        "_ZN1PIJEE1gEv",
        "_ZN4llvm15AnalysisManagerINS_8FunctionEJEEC2EOS2_",
        "_ZTSN1a1bIiNS_1cIiJEEEJEEE",
        "_ZN1a1fERNS_1bERNS0_1cEONS0_1d1eE",
    ],
)
def test_special_names_read_as_those_of_cxxfilt(name: str) -> None:
    (shown,) = run("c++filt", name).splitlines()
    assert shown != name
    assert demangle(name) == shown


@pytest.mark.parametrize("name", ["_ZThn16_", "_ZTh16N1a1bEv", "_ZTv0_N1a1bEv", "_ZTV", "_ZThn16_x", "_ZTch0_N1a1bEv"])
def test_a_special_name_without_a_target_stays_as_it_is(name: str) -> None:
    assert run("c++filt", name).strip() == demangle(name) == name


def test_a_few_bytes_that_stand_for_megabytes_stay_mangled() -> None:
    bomb = "_RINvC1a1fTllETB7_B7_ETBa_Ba_ETBi_Bi_ETBq_Bq_ETBy_By_ETBG_BG_ETBO_BO_ETBW_BW_ETB14_B14_ETB1e_B1e_E" + "E"
    assert len(demangle(bomb)) <= MAX_DEMANGLED
    assert demangle("_ZN" + "1a" * MAX_MANGLED + "Ev") == "_ZN" + "1a" * MAX_MANGLED + "Ev"
    assert demangle("_Z" + "P" * 4000 + "i").startswith("_ZPPP")


@given(st.text("_ZNKRSTIELPvijhb0123456789abB", max_size=300), st.sampled_from(["_Z", "_R", "_RNvC", "_ZN", ""]))
def test_any_name_gives_a_bounded_name(tail: str, prefix: str) -> None:
    name = prefix + tail
    assert len(demangle(name)) <= max(MAX_DEMANGLED, len(name))
