"""The ERP's users. They know nothing of the bridge: all that they see is the ERP.

    PASSWORD=... python users.py URL SECONDS ACTS      an act every so many seconds, then they only watch

Most acts enter an order; in others goods come in, and what is not confirmed is opened again.
"""

import os
import random
import sys
import time
from urllib.parse import quote

import httpx


def say(text):
    print(time.strftime("%H:%M:%S"), text, flush=True)


class ErpService:
    def __init__(self, url):
        password = os.environ["PASSWORD"]
        login = ("bridge", password)
        self.http = httpx.Client(base_url=url, auth=login, trust_env=False, timeout=60)

    def get(self, path, **options):
        query = "&".join(f"${name}={quote(str(value))}" for name, value in options.items())
        return self.http.get(f"{path}?{query}").raise_for_status().json()["value"]

    def post(self, path, **values):
        # If-Match: a user doesn't mind who changed an order before.
        answer = self.http.post(path, json=values, headers={"If-Match": "*"}).raise_for_status()
        return answer.json() if answer.content else None


def enter_order(erp, rng, names):
    customer = rng.choice(erp.get("Customers"))
    chosen = rng.sample(sorted(names), rng.randint(1, 2))
    lines = [
        {
            "position": position,
            "product_ID": product,
            "quantity": rng.choice([1, 2, 3, 5, 8, 13, 30]),
        }
        for position, product in enumerate(chosen, start=1)
    ]
    order = erp.post("Orders", customer_ID=customer["ID"], lines=lines)
    wanted = ", ".join(f"{line['quantity']} {names[line['product_ID']]}" for line in lines)
    say(f"order {order['number']} of {customer['name']}: {wanted}")


def take_in_goods(erp, rng, names):
    product, quantity = rng.choice(sorted(names)), rng.randint(20, 50)
    erp.post("deliver", product=product, quantity=quantity)
    waiting = erp.get("Orders", filter="status ne 'C'")
    for order in waiting:
        erp.post(f"Orders('{order['number']}')/reopen")
    say(f"{quantity} {names[product]} came in; {len(waiting)} orders are to be looked at again")


def report_changes(erp, seen):
    """Say what has become of orders since the last report."""
    for order in reversed(erp.get("Orders", orderby="modifiedAt desc", top=50)):
        number, now = order["number"], (order["status"], order["note"])
        if seen.get(number) != now and order["status"] == "C":
            say(f"  order {number} is confirmed, letters sent: {order['letters']}")
        if seen.get(number) != now and order["status"] == "H":
            say(f"  order {number} is held: {order['note']}")
        seen[number] = now


def work_until_ended(erp, pause, acts):
    rng, seen = random.Random(1), {}
    names = {product["ID"]: product["name"] for product in erp.get("Products")}
    while True:
        if acts > 0:
            acts -= 1
            act = rng.choices([enter_order, take_in_goods], [3, 1])[0]
            try:
                act(erp, rng, names)
            except httpx.HTTPStatusError as error:
                say(f"the ERP says no: {error.response.text}")
        time.sleep(pause)
        report_changes(erp, seen)


if __name__ == "__main__":
    work_until_ended(ErpService(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]))
