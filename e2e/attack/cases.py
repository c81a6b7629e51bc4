"""The cases of attack, and which tests hold each: `python -m e2e.attack.cases` writes the table of docs/security.md.

A test says with `@case(9)` which cases it makes; tests elsewhere are named in `ELSEWHERE`. A unit test compares.
"""

import ast
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parent.parent.parent
PAGE: Final = ROOT / "docs" / "security.md"
BEGIN: Final = "<!-- cases: written by `python -m e2e.attack.cases` -->"
END: Final = "<!-- end of cases -->"


def case(*numbers: int) -> pytest.MarkDecorator:
    """Says which cases a test makes."""
    return pytest.mark.case(*numbers)


CASES: Final[Mapping[int, str]] = {
    1: "`Connection` that names identity headers (CVE-2021-31999, CVE-2022-23652)",
    2: "`Impersonate-*` of the client, also with `_` and twice",
    3: "`X-Remote-*` and `X-Forwarded-*` (GHSA-c8w2-fgvx-vhv4)",
    4: "`--as-group=system:masters`, another tenant's user, a node (GHSA-c7xh-gjv4-4jgv)",
    5: "a second request behind a refused upgrade (CVE-2018-1002105)",
    6: "redirects of the host (CVE-2020-8559, CVE-2018-1002102, CVE-2022-3172)",
    7: "`nodes/proxy`, proxies of services and pods with foreign names (CVE-2020-8562, CVE-2022-3294)",
    8: "exec by GET with read rights only (KEP-4006)",
    9: "paths that are not canonical (CVE-2022-3162)",
    10: "kinds at the wrong scope (CVE-2019-11247)",
    11: "selectors twice, empty, about other namespaces (CVE-2022-2880)",
    12: "all spellings of a watch (GHSA-j5hq-5jcr-xwx7)",
    13: "empty and doubled credentials, tokens in odd places (CVE-2023-48312)",
    14: "ServiceAccounts of the same name (CVE-2023-46254)",
    15: "tokens for others, of the future, with confused algorithms and headers",
    16: "token revoked, tenant suspended or deleted under way",
    17: "subresources (CVE-2026-30963)",
    18: "bodies that name another object",
    19: "one object in every media type",
    20: "every error: one Status, in the tenant's words",
    21: "an impostor in the host's place (GHSA-95fc-g4gj-mqmx)",
    22: "a foreign `Origin` at an upgrade (GHSA-xhg2-rvm8-w2jh)",
    23: "request smuggling (CVE-2023-30589, CVE-2024-52304, CVE-2025-53643, CVE-2025-43859)",
    24: "slow clients, idle connections, many watches",
    25: "bodies and selectors that cost (CVE-2019-11253, CVE-2019-1002100)",
    26: "secrets in logs, errors and metrics",
    27: "ids that begin other names",
    28: "names that are odd or another tenant's host names",
    29: "roles and bindings that would count on the host",
    33: "a pod's token straight at the host",
    35: "continue tokens and versions of another tenant",
    36: "a tenant that writes while it is deleted; the same id again",
    37: "CRDs with the groups of others",
    38: "reviews about strangers",
    39: "Events, Leases, ConfigMaps of the host",
    40: "the proxy's own endpoints",
}

ELSEWHERE: Final[Mapping[int, tuple[str, ...]]] = {
    3: ("tests/flow/test_flow.py::test_headers_of_identity_and_the_clients_own_never_pass",),
    5: ("tests/shell/test_edge_tunnels.py::test_what_follows_a_refused_switch_is_never_a_request",),
    6: ("tests/flow/test_tunnels.py::test_a_redirect_of_a_pod_is_not_followed_and_leads_nowhere",),
    8: ("tests/flow/test_tunnels.py::test_a_reader_may_not_run_anything",),
    9: ("tests/core/test_request.py::test_any_bytes_are_a_request_or_a_400",),
    11: ("tests/core/test_selectors.py::test_a_field_selector_that_is_none_is_a_400",),
    14: (
        "e2e/test_service_accounts.py::test_it_is_nobody_at_the_host_and_in_another_tenant",
        "tests/shell/test_serviceaccounts.py::test_accounts_of_one_name_in_two_tenants_share_nothing",
    ),
    15: (
        "e2e/test_service_accounts.py::test_forged_and_old_tokens_do_not_count",
        "tests/shell/test_tokens.py::test_tokens_for_others_are_refused",
        "tests/shell/test_tokens.py::test_no_algorithm_but_es256_is_tried",
        "tests/shell/test_tokens.py::test_the_public_key_does_not_serve_as_an_hmac_secret",
        "tests/shell/test_tokens.py::test_keys_that_a_header_brings_along_are_never_used",
        "tests/shell/test_tokens.py::test_claims_that_stand_twice_are_refused",
        "tests/shell/test_authenticator.py::test_a_token_of_the_future_is_refused_now_and_good_later",
    ),
    16: (
        "e2e/test_client_certificates.py::test_a_revoked_certificate_ends_within_five_seconds_and_its_watch_too",
        "e2e/test_client_certificates.py::test_suspension_and_the_end_of_the_ca_end_certificates",
        "e2e/test_refusals.py::test_a_revoked_token_is_refused_within_5_seconds_and_its_watch_ends",
        "e2e/test_refusals.py::test_unknown_suspended_and_deleted_tenants_are_refused_alike",
        "e2e/test_service_accounts.py::test_what_is_deleted_ends_its_tokens_and_their_watches",
        "e2e/test_watches.py::test_a_suspended_tenants_watches_end_within_five_seconds",
    ),
    33: (
        "e2e/test_service_accounts.py::test_it_is_nobody_at_the_host_and_in_another_tenant",
        "e2e/test_service_accounts.py::test_the_second_wall_gives_no_tenant_a_token_for_the_host",
    ),
    38: ("e2e/test_service_accounts.py::test_token_reviews_know_this_cluster_alone",),
    18: ("e2e/test_refusals.py::test_bad_requests_never_reach_the_host",),
    20: ("e2e/test_faults.py::test_a_slow_host_is_504",),
    21: (
        "e2e/chaos/test_certificates.py::test_an_impostor_hears_not_one_byte_of_a_request",
        "tests/shell/test_upstream.py::test_a_host_that_proves_nothing_gets_not_one_byte_of_the_request",
    ),
    22: ("tests/flow/test_tunnels.py::test_a_page_of_another_site_opens_no_tunnel",),
    23: (
        "tests/shell/test_edge_reader.py::test_what_is_no_request_is_refused_whole_and_byte_by_byte",
        "tests/shell/test_edge_reader.py::test_a_body_in_the_smallest_chunks_is_refused_when_it_is_large",
    ),
    24: (
        "e2e/chaos/test_slow_clients.py::test_slow_clients_are_ended_and_harm_nobody",
        "e2e/chaos/test_connections.py::test_ten_thousand_silent_connections_harm_nobody_and_are_ended",
        "e2e/chaos/test_full_buffers.py::test_watchers_that_do_not_read_cost_no_memory_and_no_event",
        "e2e/chaos/test_many_watches.py::test_ten_thousand_watches_of_one_tenant_harm_no_other_and_one_more_is_refused",
    ),
    25: ("e2e/test_refusals.py::test_bad_requests_never_reach_the_host",),
    35: ("e2e/test_api.py::test_a_continue_token_is_of_one_list_and_one_tenant",),
    37: (
        "e2e/test_own_apis.py::test_each_tenant_sees_its_own_definition_and_no_other",
        "e2e/test_own_apis.py::test_a_group_of_the_cluster_itself_is_refused",
        "e2e/test_own_apis.py::test_a_group_of_another_tenant_on_the_host_is_only_a_name",
        "e2e/test_own_apis.py::test_a_conversion_webhook_is_refused_with_what_to_do",
        "tests/core/test_apis.py::test_definitions_are_counted_and_one_that_is_there_may_change",
    ),
    36: ("e2e/test_lifecycle.py::test_a_tenant_is_removed_with_all_of_it_and_only_that",),
}


def marked(folder: Path = Path(__file__).parent) -> Iterator[tuple[int, str]]:
    """(case, test) for each `@case` in the modules here, in the order of files and lines."""
    for file in sorted(folder.glob("test_*.py")):
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, ast.FunctionDef):
                for number in _numbers(node):
                    yield number, f"e2e/attack/{file.name}::{node.name}"


def _numbers(function: ast.FunctionDef) -> list[int]:
    calls = [one for one in function.decorator_list if isinstance(one, ast.Call)]
    named = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "case"]
    values = [one.value for call in named for one in call.args if isinstance(one, ast.Constant)]
    return [value for value in values if isinstance(value, int)]


def tests() -> dict[int, list[str]]:
    """By case: its tests."""
    found: dict[int, list[str]] = {number: [] for number in CASES}
    for number, test in marked():
        found.setdefault(number, []).append(test)
    for number, names in ELSEWHERE.items():
        found[number] += names
    return found


def table() -> str:
    """The table of docs/security.md."""
    lines = ["| case | what is tried | tests |", "|---|---|---|"]
    for number, names in tests().items():
        lines.append(f"| {number} | {CASES[number]} | {_listed(names)} |")
    return "\n".join(lines)


def _listed(names: list[str]) -> str:
    """The tests, those of one file together."""
    files: dict[str, list[str]] = {}
    for name in names:
        file, _, test = name.partition("::")
        files.setdefault(file, []).append(test)
    return "; ".join(f"`{file}`: {', '.join(found)}" for file, found in files.items()) or "**open**"


def page() -> str:
    """docs/security.md with the table as it is now."""
    head, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n{table()}\n{END}{tail}"


if __name__ == "__main__":
    PAGE.write_text(page())
    sys.exit(0)
