"""docs/secrets.md, carried out as it is written, under a running bridge."""

from __future__ import annotations

import os
import subprocess

from tests.bad_input.guarded_bridge import PROGRAM
from tests.bad_input.shop import PostgresShop
from tests.docs.pages import page


def test_a_password_is_rotated_under_a_running_bridge_by_the_commands_of_the_page(
    a_shop: PostgresShop,
) -> None:
    bridge = a_shop.bridge
    secret = bridge.folder.parent / "erp-password"
    secret.write_text(bridge.secrets["SHOP_PASSWORD"])
    system = bridge.folder / "systems" / "shop.yaml"
    system.write_text(system.read_text().replace("${env:SHOP_PASSWORD}", f"${{file:{secret}}}"))
    a_shop.set_up()
    bridge.secret("SHOP_PASSWORD", "an0ther/p@ss+word")
    replace, end = [each.text for each in page("docs/secrets.md").blocks() if each.language == "sh"]
    with bridge.running() as run:
        run.says("streaming")
        for block in (replace, end):
            # On separate machines: the bridge's folder, role and file instead of the page's.
            script = block.replace("/run/secrets/erp", str(secret))
            script = script.replace("ROLE bridge ", f"ROLE {a_shop.user} ")
            script = script.replace("usename = 'bridge'", f"usename = '{a_shop.user}'")
            done = subprocess.run(
                ["sh", "-ec", script],
                capture_output=True,
                text=True,
                check=False,
                env={
                    **os.environ,
                    "PATH": f"{PROGRAM.parent}:{a_shop.server.bindir}:{os.environ['PATH']}",
                    "BRIDGE_CONFIG": str(bridge.config),
                    "NEW_PASSWORD": bridge.secrets["SHOP_PASSWORD"],
                    "ERP_ADMIN_URL": a_shop.database,
                },
            )
            assert "rror" not in done.stderr, done.stderr
        a_shop.sql("insert into article values (2, 'after the rotation', 1)")
        bridge.until_changes("article", 1)
        a_shop.until_equal()
    secret.unlink()
