"""A client in a process of its own that sends more than any client should.

``flood.py PORT commands SECONDS`` sends a thousand enable commands a second, the last of them OFF;
``flood.py PORT garbage COUNT`` sends so many meaningless messages, 5,000 a second.
"""

import random
import sys
import time

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

ROOT = "streamsr/node"


def commands(client: mqtt.Client, seconds: int) -> None:
    began_s = time.monotonic()
    for number in range(seconds * 1000):
        time.sleep(max(0.0, began_s + number / 1000 - time.monotonic()))
        client.publish(f"{ROOT}/yard/enable/set", "OFF" if number % 3 else "ON", qos=0)
    client.publish(f"{ROOT}/yard/enable/set", "OFF", qos=1).wait_for_publish(30)


def garbage(client: mqtt.Client, count: int) -> None:
    chance = random.Random(7)
    began_s = time.monotonic()
    for number in range(count):
        time.sleep(max(0.0, began_s + number / 5000 - time.monotonic()))
        camera = chance.choice(["yard", "yard", "nobody", f"x{number}", "%00", "ünicode", ""])
        verb = chance.choice(["enable", "model", "record", "snapsh0t", f"v{number}", "$SYS"])
        payload = chance.randbytes(chance.choice([0, 1, 3, 8, 300, 5000]))
        client.publish(f"{ROOT}/{camera}/{verb}/set", b"\xff" + payload, qos=0)
    client.publish(f"{ROOT}/yard/model/set", b"garbage's end", qos=1).wait_for_publish(30)


if __name__ == "__main__":
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.connect("127.0.0.1", int(sys.argv[1]))
    client.loop_start()
    {"commands": commands, "garbage": garbage}[sys.argv[2]](client, int(sys.argv[3]))
    client.disconnect()
    client.loop_stop()
