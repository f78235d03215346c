"""`bridgectl schema import`: from a system that nobody has described to a file that check accepts."""

import sqlite3
from pathlib import Path

import psycopg
import pytest

from bridge.model.names import NAME, as_name
from tests.cli.bridge_folder import BridgeFolder

TABLES = (
    'CREATE TABLE "Customers" ("CustomerID" integer primary key, "Full Name" varchar(40) not null)',
    """CREATE TABLE sales (sale_no varchar(10) primary key,
        buyer_id integer references "Customers"("CustomerID"), total decimal(15,2))""",
    """CREATE TABLE line (sale_no varchar(10) references sales(sale_no), line_no integer,
        qty integer, primary key (sale_no, line_no))""",
    "CREATE TABLE no_key (a text)",
)


@pytest.fixture
def shop(tmp_path: Path) -> BridgeFolder:
    """A legacy database, a bridge.yaml, and no system file."""
    (tmp_path / "bridge.yaml").write_text("bridge: shop\nlog: sqlite:///bridge.db\n")
    with sqlite3.connect(tmp_path / "shop.db") as database:
        database.execute("PRAGMA journal_mode = WAL")
        for statement in TABLES:
            database.execute(statement)
    return BridgeFolder(tmp_path)


def imported(shop: BridgeFolder, connector: str, url: str, *more: str) -> str:
    """The text of systems/shop.yaml, made by the command."""
    file = shop.folder / "systems" / "shop.yaml"
    answer = shop.call("schema", "import", connector, url, "-o", str(file), *more)
    assert answer.code == 0, answer.err
    return file.read_text()


def related(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if "{entity:" in line]


def test_a_file_of_every_table_with_a_key_passes_check_untouched(shop: BridgeFolder) -> None:
    text = imported(shop, "journal", "sqlite:///../shop.db")
    assert "  # no_key: left out, because it has no primary key" in text
    assert '      full_name: "Full Name"    # VARCHAR(40)\n' in text
    assert related(text) == [
        "sales: {entity: sales, by: buyer_id}",
        "sale: {entity: sales, from: sale_no}",
        "line: {entity: line, by: sale_no}",
        "buyer: {entity: customers, from: buyer_id}",
    ]
    assert shop.call("check", "--offline").code == 0
    assert shop.call("setup", "shop", "--yes").code == 0
    checked = shop.call("check", "--json")
    assert checked.code == 0, checked.out


def test_postgresql_is_imported_with_its_secret_by_reference(
    shop: BridgeFolder, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_URL", database)
    with psycopg.connect(database, autocommit=True) as legacy:
        for statement in TABLES:
            legacy.execute(statement.encode())
    text = imported(shop, "postgres", "${env:SHOP_URL}")
    assert 'url: "${env:SHOP_URL}"' in text
    assert database not in text
    assert "total: total # numeric(15,2), may be null" in " ".join(text.split())
    assert related(text)[:2] == [
        "sales: {entity: sales, by: buyer_id}",
        "sale: {entity: sales, from: sale_no}",
    ]
    assert shop.call("setup", "shop", "--yes").code == 0
    checked = shop.call("check", "--json")
    assert checked.code == 0, checked.out


@pytest.mark.parametrize(
    ("table_names", "path"),
    [
        ("public.sales,line,Customers", "public"),
        ("sales,public.line,public.Customers", "public"),
        ("public.sales,public.line,public.Customers", "public"),
        ("sales,line,Customers", "crm, public"),
        ("public.sales,line,public.Customers", "crm, public"),
    ],
)
def test_relations_are_found_whether_tables_are_named_with_their_schema_or_without(
    shop: BridgeFolder, database: str, monkeypatch: pytest.MonkeyPatch, table_names: str, path: str
) -> None:
    monkeypatch.setenv(
        "SHOP_URL", f"{database}?options=-csearch_path%3D{path.replace(', ', '%2C')}"
    )
    with psycopg.connect(database, autocommit=True) as legacy:
        legacy.execute("CREATE SCHEMA crm")
        for statement in TABLES:
            legacy.execute(statement.encode())
    text = imported(shop, "postgres", "${env:SHOP_URL}", "--entities", table_names)
    assert sorted(related(text)) == [
        "buyer: {entity: customers, from: buyer_id}",
        "line: {entity: line, by: sale_no}",
        "sale: {entity: sales, from: sale_no}",
        "sales: {entity: sales, by: buyer_id}",
    ]


def test_relations_lead_into_other_schemas_and_never_to_a_namesake(
    shop: BridgeFolder, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_URL", database)
    with psycopg.connect(database, autocommit=True) as legacy:
        for statement in (
            "CREATE SCHEMA crm",
            "CREATE TABLE person (id int primary key)",
            "CREATE TABLE crm.person (id int primary key)",
            "CREATE TABLE crm.visit (id int primary key, crm_person int references crm.person)",
            """CREATE TABLE visit (id int primary key, person_id int references person,
                of_crm int references crm.visit)""",
        ):
            legacy.execute(statement.encode())
    apart = imported(shop, "postgres", "${env:SHOP_URL}", "--entities", "visit,crm.person")
    assert related(apart) == []
    names = "visit,crm.visit,person,crm.person"
    every = imported(shop, "postgres", "${env:SHOP_URL}", "--force", "--entities", names)
    assert sorted(related(every)) == [
        "crm_person: {entity: person_2, from: crm_person}",
        "of_crm: {entity: visit_2, from: of_crm}",
        "person: {entity: person, from: person_id}",
        "visit: {entity: visit, by: of_crm}",
        "visit: {entity: visit, by: person_id}",
        "visit_2: {entity: visit_2, by: crm_person}",
    ]


def test_only_what_was_asked_for_is_imported(shop: BridgeFolder) -> None:
    text = imported(shop, "journal", "sqlite:///../shop.db", "--entities", "sales, line")
    assert "Customers" not in text
    answer = shop.call("schema", "import", "journal", f"sqlite:///{shop.folder}/shop.db",
                       "--entities", "saels")  # fmt: skip
    assert answer.code == 2
    assert "table 'saels' is not in the database; did you mean 'sales'?" in answer.err


def test_a_file_that_is_there_is_written_over_only_by_force(shop: BridgeFolder) -> None:
    imported(shop, "journal", "sqlite:///../shop.db")
    file = str(shop.folder / "systems" / "shop.yaml")
    words = ("schema", "import", "journal", "sqlite:///../shop.db", "-o", file)
    refused = shop.call(*words)
    assert refused.code == 2
    assert "--force" in refused.err
    assert shop.call(*words, "--force").code == 0


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("postgres", "postgresql://u:s3cr3t@h/d"), "holds a password in clear"),
        (("postgres", "postgresql://u:${env:NOT_SET}@h/d"), "variable NOT_SET is not set"),
        (("jurnal", "sqlite:///x.db"), "installed are"),
        (("journal", "sqlite:///x.db"), "there is no SQLite database at"),
        (("journal", "sqlite:///shop.db", "--login", "user=me"), "doesn't support login:"),
        (("journal", "sqlite:///shop.db", "--login", "s3cr3t"), "written KEY=VALUE"),
        (
            ("journal", "sqlite:///shop.db", "--login", "a=1", "--login", "a.b=2"),
            "already has a value",
        ),
        (("journal", "sqlite:///shop.db", "--name", "My ERP"), "is not a valid name"),
    ],
)
def test_what_was_asked_for_wrongly_is_a_sentence(
    shop: BridgeFolder, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], sentence: str
) -> None:
    monkeypatch.chdir(shop.folder)
    answer = shop.call("schema", "import", *words)
    assert answer.code == 2
    assert sentence in answer.err
    assert "s3cr3t" not in answer.err + answer.out


def test_names_are_made_of_any_text() -> None:
    names = [
        as_name(text) for text in ("SalesOrder", "XMLFile2Part", "Auftrag-Nr.", "Müller", "1x")
    ]
    assert names == ["sales_order", "xml_file2_part", "auftrag_nr", "muller", "x_1x"]
    assert as_name("A", {"a", "a_2"}) == "a_3"
    for odd in ("", "_", "訂單", "x" * 200, "-" * 80 + "a"):
        assert NAME.fullmatch(as_name(odd))
        assert NAME.fullmatch(as_name(odd, {as_name(odd)}))
