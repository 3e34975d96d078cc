"""Settings: refused at start with the name and what it may be."""

import pytest

from app.kernel.config import BadSettings, Settings, load_settings, parse_keys


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


def test_production_refuses_development_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINLI_ENV", "production")
    with pytest.raises(BadSettings) as refused:
        load_settings()
    for name in ("LINLI_TOKEN_KEYS", "LINLI_CRYPTO_KEYS", "LINLI_INDEX_KEY", "LINLI_WECHAT_SECRET"):
        assert name in str(refused.value)
    key = "k1:" + "A" * 43 + "="
    for name in ("TOKEN_KEYS", "CRYPTO_KEYS", "INDEX_KEY"):
        monkeypatch.setenv(f"LINLI_{name}", key)
    monkeypatch.setenv("LINLI_WECHAT_SECRET", "real")
    assert load_settings().env == "production"


def test_a_development_key_hidden_in_a_ring_is_refused_too(monkeypatch: pytest.MonkeyPatch) -> None:
    known = Settings(_env_file=None).crypto_keys.get_secret_value()
    monkeypatch.setenv("LINLI_ENV", "production")
    good = "k1:" + "A" * 43 + "="
    for name in ("TOKEN_KEYS", "INDEX_KEY"):
        monkeypatch.setenv(f"LINLI_{name}", good)
    monkeypatch.setenv("LINLI_WECHAT_SECRET", "real")
    monkeypatch.setenv("LINLI_CRYPTO_KEYS", f"{good}, {known}")
    with pytest.raises(BadSettings, match="LINLI_CRYPTO_KEYS"):
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
    key = "k1:" + "A" * 43 + "="
    for secret in ("TOKEN_KEYS", "CRYPTO_KEYS", "INDEX_KEY"):
        monkeypatch.setenv(f"LINLI_{secret}", key)
    monkeypatch.setenv("LINLI_WECHAT_SECRET", "real")
    monkeypatch.setenv(f"LINLI_{name}", f"{scheme}://linli:Postgres@db.example/0")
    assert load_settings().env == "development"
    monkeypatch.setenv("LINLI_ENV", "production")
    with pytest.raises(BadSettings, match=f"LINLI_{name}"):
        load_settings()
    for good in (f"{scheme}://linli:mP3xQ@db.example/0", f"{scheme}://db.example/0"):
        monkeypatch.setenv(f"LINLI_{name}", good)
        assert load_settings().env == "production"


def test_proxies_are_addresses_and_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    for good in ("", "*", "10.0.0.0/8", "192.0.2.1, 2001:db8::/32"):
        monkeypatch.setenv("LINLI_TRUSTED_PROXIES", good)
        assert load_settings().trusted_proxies == good.replace(" ", "")
    for bad in ("balancer", "10.0.0.1/8", "10.0.0.0/8;192.0.2.1"):
        monkeypatch.setenv("LINLI_TRUSTED_PROXIES", bad)
        with pytest.raises(BadSettings, match="LINLI_TRUSTED_PROXIES"):
            load_settings()
