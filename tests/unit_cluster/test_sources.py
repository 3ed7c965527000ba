"""Settings from file, environment and flags: the order, and what is said about names that nobody knows."""

import pytest
from ocelog.cluster import sources
from ocelog.cluster.errors import ConfigError


@pytest.fixture
def toml(tmp_path):
    def write(text: str) -> str:
        path = tmp_path / "some.toml"
        path.write_text(text)
        return str(path)

    return write


def test_flags_win_over_environment_and_environment_over_file(toml):
    settings = sources.load(
        file=toml("[cluster]\nshards = 3\nreplicas = 5\n[raft]\ntick_ms = 10\n"),
        environment={"OCELOG_CLUSTER__SHARDS": "4", "OCELOG_CLUSTER__REPLICAS": "1", "PATH": "/bin"},
        flags={"cluster": {"shards": 6, "replicas": None}},
    )
    assert (settings.cluster.shards, settings.cluster.replicas, settings.raft.tick_ms) == (6, 1, 10)


def test_the_file_in_the_working_directory_is_read_if_there_is_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert sources.load(file=None, environment={}, flags={}).cluster.shards == 2
    (tmp_path / "ocelog.toml").write_text("[cluster]\nshards = 9\n")
    assert sources.load(file=None, environment={}, flags={}).cluster.shards == 9


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[log]\nsegment_byte_max = 1\n", "unknown setting log.segment_byte_max: did you mean 'segment_bytes_max'?"),
        ("[sesion]\n", "unknown section [sesion]: did you mean 'session'?"),
        ("shards = 3\n", "unknown section [shards]"),
        ("log = 3\n", "log is 3, and must be a section: [log]"),
        ("[log\n", "is not valid TOML"),
        ("\x00", "is not valid TOML"),
    ],
)
def test_a_bad_file_is_named(toml, text, said):
    path = toml(text)
    with pytest.raises(ConfigError) as caught:
        sources.load(file=path, environment={}, flags={})
    assert path in str(caught.value)
    assert said in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"absent\.toml cannot be read: No such file"):
        sources.load(file=str(tmp_path / "absent.toml"), environment={}, flags={})


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("OCELOG_LOG__SEGMENT_BYTE_MAX", "1", "did you mean 'OCELOG_LOG__SEGMENT_BYTES_MAX'?"),
        ("OCELOG_LOG_SEGMENT_BYTES_MAX", "1", "did you mean 'OCELOG_LOG__SEGMENT_BYTES_MAX'?"),
        ("OCELOG_LOGS__LEVEL", "info", "unknown variable OCELOG_LOGS__LEVEL"),
        ("OCELOG_RAFT__TICK_MS", "soon", "OCELOG_RAFT__TICK_MS is 'soon', and must be a whole number"),
    ],
)
def test_a_bad_variable_is_named(variable, value, said):
    with pytest.raises(ConfigError) as caught:
        sources.load(file=None, environment={variable: value}, flags={})
    assert said in str(caught.value)


def test_variables_of_others_are_left_alone():
    environment = {"OCELOG_ENDPOINTS": "tcp://127.0.0.1:1", "OCELOG_SEED": "7", "MYOCELOG_LOG__X": "1"}
    assert sources.from_environment(environment) == {}
