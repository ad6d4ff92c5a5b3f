"""``fraudstream topics``: create them, or check them against what the code declares."""

import asyncio

import click

from fraudstream.commands.context import pass_settings
from fraudstream.settings import Settings
from fraudstream.topic_admin import create_topics, kafka_admin, require_topics
from fraudstream.topics import Topics


@click.group()
def topics() -> None:
    """Create topics, or check them against what the code declares."""


@topics.command()
@pass_settings
def create(settings: Settings) -> None:
    """Create the topics that are missing, then check them all.

    Topics that exist are never changed: where one differs, the command says so and ends with status 1.
    """
    declared = list(Topics(settings))

    async def run() -> list[str]:
        async with kafka_admin(settings) as admin:
            created = await create_topics(admin, declared, settings.replication_factor)
            await require_topics(admin, declared)
            return created

    created = asyncio.run(run())
    for name in created:
        click.echo(f"created {name}")
    click.echo(f"{len(created)} created, {len(declared) - len(created)} already there")


@topics.command()
@pass_settings
def check(settings: Settings) -> None:
    """Compare every topic with what the code declares; status 1 when one differs or is missing."""
    declared = list(Topics(settings))

    async def run() -> None:
        async with kafka_admin(settings) as admin:
            await require_topics(admin, declared)

    asyncio.run(run())
    click.echo(f"{len(declared)} topics are as declared")
