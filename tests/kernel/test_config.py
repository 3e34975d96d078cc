"""Settings: refused at start with the name and what it may be."""

from base64 import b64encode

import pytest

from app.kernel.config import (
    DEVELOPMENT_KEYS,
    BadSettings,
    _development_key,
    load_settings,
    parse_keys,
)

KEY = "k1:" + b64encode(bytes(range(32))).decode()
SECRETS = {
    "LINLI_TOKEN_KEYS": KEY,
    "LINLI_CRYPTO_KEYS": KEY,
    "LINLI_INDEX_KEY": KEY,
    "LINLI_WECHAT_APP_ID": "wx1234567890abcdef",
    "LINLI_WECHAT_SECRET": "of our own",
}
PRODUCTION = SECRETS | {"LINLI_ENV": "production"}


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    import os

    for name in [n for n in os.environ if n.startswith("LINLI_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path_factory.mktemp("no-env-file"))


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("LINLI_PORT", "99999", "65535"),
        ("LINLI_PORT", "http", "integer"),
        ("LINLI_ENV", "prod", "'development', 'test' or 'production'"),
        ("LINLI_DATABASE_URL", "mysql://x", "postgresql://"),
        ("LINLI_REDIS_URL", "localhost:6379", "redis://"),
        ("LINLI_TIME_ZONE", "Shanghai", "Asia/Shanghai"),
        ("LINLI_TIME_ZONE", "../etc/passwd", "Asia/Shanghai"),
        ("LINLI_CRYPTO_KEYS", "k1:short", "32 bytes"),
        ("LINLI_LOG_LEVEL", "loud", "'debug', 'info', 'warning' or 'error'"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(BadSettings) as refused:
        load_settings()
    assert name in str(refused.value)
    assert said in str(refused.value)


def test_several_wrong_values_are_all_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINLI_PORT", "0")
    monkeypatch.setenv("LINLI_POOL_SIZE", "-1")
    with pytest.raises(BadSettings) as refused:
        load_settings()
    assert {"LINLI_PORT", "LINLI_POOL_SIZE"} <= set(str(refused.value).replace(":", " ").split())


@pytest.fixture
def production(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment that a production starts with."""
    for name, value in PRODUCTION.items():
        monkeypatch.setenv(name, value)
    assert load_settings().env == "production"


@pytest.mark.usefixtures("production")
@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize("value", [None, "", " "])
def test_production_wants_each_secret(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str | None
) -> None:
    if value is None:
        monkeypatch.delenv(name)
    else:
        monkeypatch.setenv(name, value)
    with pytest.raises(BadSettings, match=name):
        load_settings()


def test_production_names_all_that_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINLI_ENV", "production")
    with pytest.raises(BadSettings) as refused:
        load_settings()
    assert all(name in str(refused.value) for name in SECRETS)


@pytest.mark.usefixtures("production")
@pytest.mark.parametrize("name", [name for name in SECRETS if "KEY" in name])
@pytest.mark.parametrize("purpose", DEVELOPMENT_KEYS)
def test_a_development_key_is_refused_whatever_it_is_called_and_wherever_it_stands(
    monkeypatch: pytest.MonkeyPatch, name: str, purpose: str
) -> None:
    known = _development_key(purpose)
    renamed = known.replace("dev:", "k2:")
    zeros = "k2:" + "A" * 43 + "="
    for ring in (known, renamed, f"{KEY}, {renamed}", f"{KEY},{zeros}", f"dev:{KEY[3:]}"):
        monkeypatch.setenv(name, ring)
        with pytest.raises(BadSettings, match=name):
            load_settings()


@pytest.mark.usefixtures("production")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LINLI_WECHAT_SECRET", "development"),
        ("LINLI_WECHAT_SECRET", "ChangeMe"),
        ("LINLI_WECHAT_APP_ID", "wx-linli-development"),
        ("LINLI_WECHAT_BASE_URL", "http://127.0.0.1:8000/dev/wechat"),
    ],
)
def test_production_does_without_what_development_has(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(BadSettings, match=name):
        load_settings()


def test_a_key_ring_is_read_in_its_order() -> None:
    ring = parse_keys("new:" + "A" * 43 + "=,old:" + "B" * 42 + "A=")
    assert list(ring) == ["new", "old"]
    assert all(len(key) == 32 for key in ring.values())


@pytest.mark.parametrize("name", ["DATABASE_URL", "READ_DATABASE_URL", "REDIS_URL"])
def test_production_refuses_passwords_out_of_manuals(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    scheme = "redis" if name == "REDIS_URL" else "postgresql"
    monkeypatch.setenv(f"LINLI_{name}", f"{scheme}://linli:Postgres@db.example/0")
    assert load_settings().env == "development"
    for setting, value in PRODUCTION.items():
        monkeypatch.setenv(setting, value)
    with pytest.raises(BadSettings, match=f"LINLI_{name}"):
        load_settings()
    for good in (f"{scheme}://linli:mP3xQ@db.example/0", f"{scheme}://db.example/0"):
        monkeypatch.setenv(f"LINLI_{name}", good)
        assert load_settings().env == "production"


@pytest.mark.parametrize(
    "address",
    [
        "redis+cluster://",
        "redis+cluster://a:7000,",
        "redis+cluster://a:seven",
        "redis+cluster://a:7000/3",
        "unix+cluster:///run/redis",
    ],
)
def test_a_cluster_has_nodes_with_names_and_one_database(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    for good in ("redis+cluster://a", "rediss+cluster://:secret@a:7000,[::1]:7001/0"):
        monkeypatch.setenv("LINLI_REDIS_URL", good)
        assert load_settings().redis_url == good
    monkeypatch.setenv("LINLI_REDIS_URL", address)
    with pytest.raises(BadSettings, match="LINLI_REDIS_URL"):
        load_settings()


def test_proxies_are_addresses_and_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    for good in ("", "*", "10.0.0.0/8", "192.0.2.1, 2001:db8::/32"):
        monkeypatch.setenv("LINLI_TRUSTED_PROXIES", good)
        assert load_settings().trusted_proxies == good.replace(" ", "")
    for bad in ("balancer", "10.0.0.1/8", "10.0.0.0/8;192.0.2.1"):
        monkeypatch.setenv("LINLI_TRUSTED_PROXIES", bad)
        with pytest.raises(BadSettings, match="LINLI_TRUSTED_PROXIES"):
            load_settings()
