#!/usr/bin/python3
# amqp_consumer.py MODE QUEUE PORT: a consumer of a queue until it is killed. slow: 20
# messages a second; hold: takes five and acknowledges none; poison: gives the message
# `poison` back each time, acknowledges the others; fill: none, publishes 800 messages.
# Password: OPSH_RABBITMQ_PASSWORD. Owns its connection; must not declare anything.
import os
import sys
import time

import pika

mode, queue, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
connection = pika.BlockingConnection(pika.ConnectionParameters(
    "127.0.0.1", port, credentials=pika.PlainCredentials(
        "ops", os.environ["OPSH_RABBITMQ_PASSWORD"])))
channel = connection.channel()
channel.basic_qos(prefetch_count={"hold": 5, "poison": 2}.get(mode, 1))

if mode == "fill":
    for n in range(800):
        channel.basic_publish("", queue, b"m%d" % (n + 1))
    connection.close()
    sys.exit()


def got(ch, method, _, body):
    if mode == "hold":
        return
    if mode == "poison" and body == b"poison":
        time.sleep(0.05)
        ch.basic_nack(method.delivery_tag, requeue=True)
        return
    time.sleep(0.05 if mode == "slow" else 0.02)
    ch.basic_ack(method.delivery_tag)


channel.basic_consume(queue, got)
channel.start_consuming()
