"""``her2 review``: the page on which a pathologist looks at a run, decides and signs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pathology.cli.options import RunArgument

if TYPE_CHECKING:
    from pathology.review.users import User

__all__ = ["check_names", "review"]


def review(
    run_dir: RunArgument,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Port; 0 takes any free one.")
    ] = 8765,
    host: Annotated[
        str,
        typer.Option(
            "--host",
            help="Address to listen on. Any but this machine's own needs named users, and TLS or "
            "--allow-plain-http.",
        ),
    ] = "127.0.0.1",
    name: Annotated[
        list[str] | None,
        typer.Option("--name", help="Another name of this machine in addresses; repeatable."),
    ] = None,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Print the address, and open nothing.")
    ] = False,
    slides: Annotated[
        Path | None,
        typer.Option(
            "--slides",
            metavar="DIR2",
            help="Where slide files are now, if they were moved; only the very file that was "
            "scored is shown.",
            show_default=False,
        ),
    ] = None,
    user: Annotated[
        str,
        typer.Option("--user", help="Who reviews on this machine; default: the account's name."),
    ] = "",
    users: Annotated[
        Path | None,
        typer.Option(
            "--users",
            metavar="FILE",
            help="File of named users with hashed passwords, for shared use.",
            show_default=False,
        ),
    ] = None,
    add_user: Annotated[
        str | None,
        typer.Option(
            "--add-user",
            metavar="NAME:ROLE",
            help="Add a user to --users (reader, senior_reader or admin), asking for the "
            "password, and end.",
            show_default=False,
        ),
    ] = None,
    tls_cert: Annotated[
        Path | None, typer.Option("--tls-cert", metavar="FILE", help="Certificate for https.")
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option("--tls-key", metavar="FILE", help="Its key.")
    ] = None,
    allow_plain_http: Annotated[
        bool,
        typer.Option(
            "--allow-plain-http",
            help="Allow --host without TLS; passwords then travel in the clear.",
        ),
    ] = False,
    blinded: Annotated[
        str | None,
        typer.Option(
            "--blinded",
            metavar="STUDY",
            help="Begin a blinded reader study of this name: random order, and scores hidden until "
            "a reader's first read is locked. Stays on until --end-blinded.",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Decides each reader's order.")] = 0,
    end_blinded: Annotated[
        bool, typer.Option("--end-blinded", help="End the blinded study, and serve.")
    ] = False,
    verify: Annotated[
        bool,
        typer.Option("--verify", help="Prove the record of the review, event by event, and end."),
    ] = False,
    head: Annotated[
        str | None,
        typer.Option(
            "--head",
            metavar="N:SHA256",
            help="With --verify: the end of the record as it was noted elsewhere; proves that "
            "nothing was cut off since.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Open a run for review in the browser: list, viewer, regions, decision, signature.

    The page is served to this machine only, with a token that is new at each start. Every change
    is an event in DIR/review that is never overwritten; --verify proves the chain (status 1 if it
    is broken). Needs the extra `review`. For research use only.
    """
    from pathology.errors import UsageError
    from pathology.review.serve import ServeOptions, serve

    if head is not None and not verify:
        raise UsageError("--head is for --verify", fix="Give both, or neither.")
    if blinded is not None and end_blinded:
        raise UsageError("--blinded begins a study, and --end-blinded ends it", fix="Give one.")
    if verify:
        _verify(run_dir, head)
        return
    if add_user is not None:
        _add_user(users, add_user)
        return
    if blinded is not None or end_blinded:
        _switch_study(run_dir, name=blinded, seed=seed)
    options = ServeOptions(
        host=host,
        port=port,
        certificate=tls_cert,
        key=tls_key,
        allow_plain_http=allow_plain_http,
        names=tuple(name or ()),
        users=users,
        user=user,
        slides=slides,
        browser=not no_browser,
    )
    serve(run_dir, options, say=lambda line: print(line, flush=True))


def _verify(run_dir: Path, head: str | None) -> None:
    from pathology.errors import UsageError
    from pathology.review.head import Head
    from pathology.review.verify import verify as check

    try:
        noted = None if head is None else Head.parse(head)
    except ValueError as error:
        raise UsageError(f"--head: {error}", fix="Give what --verify printed.") from error
    found = check(run_dir, head=noted)
    print(f"{found.events} events of {found.slides} slides, {found.signatures} signatures")
    for note in found.notes:
        print(f"note: {note}")
    if not found.ok:
        print(f"BROKEN at event {found.broken}: {found.problem}")
        raise typer.Exit(1)
    print("the chain is whole" + (f"; its end: {found.head.text()}" if found.head else ""))


def _add_user(file: Path | None, text: str) -> None:
    from pathology.errors import UsageError
    from pathology.review.users import Users

    if file is None:
        raise UsageError("--add-user needs --users FILE", fix="Name the file of users.")
    user = _parse_user(text)
    password = typer.prompt(
        f"Password of {user.name}", hide_input=True, confirmation_prompt=True, err=True
    )
    there = Users.read(file) if file.exists() else Users()
    there.with_user(user, password).write(file)
    print(f"{user.name} ({user.role.value}) in {file}")


def _parse_user(text: str) -> User:
    from pathology.errors import UsageError
    from pathology.review.users import Role, User

    name, _, role = text.rpartition(":")
    if not name or role not in {item.value for item in Role}:
        roles = ", ".join(item.value for item in Role)
        raise UsageError(f"{text!r} is not NAME:ROLE", fix=f"Roles are {roles}.")
    return User(name=name, role=Role(role))


def check_names(run_dir: Path, names: list[str]) -> None:
    """Refuse a blinded study whose slide ids tell scores, and warn that ids hold file names.

    Raises
    ------
    UsageError
        Names one of them.
    """
    import sys

    from pathology.errors import UsageError
    from pathology.review.study import telling_names

    telling = telling_names(names)
    if telling:
        raise UsageError(
            f"{run_dir}: {len(telling)} slide ids tell a score or tier ({telling[0]}): readers see "
            "them in the address",
            fix="Copy or link the slides under neutral names, and score those for the study.",
        )
    print(
        f"her2: slide ids begin with the file's name ({names[0]}), and readers see them in the "
        "address: make sure that no name tells a score or a patient",
        file=sys.stderr,
    )


def _switch_study(run_dir: Path, *, name: str | None, seed: int) -> None:
    """Begin or end a blinded study, as whoever has the command line may."""
    from pathology.review.store import ReviewStore
    from pathology.review.study import end_study, start_study
    from pathology.runs import read_results

    with ReviewStore(run_dir) as store:
        if name is None:
            store.append_to_run(None, lambda study: end_study(study, None, why="command line"))
            print("the blinded study has ended")
            return
        if store.study.on and store.study.name == name:
            return  # the same command again goes on with it
        check_names(run_dir, [result.slide_id for result in read_results(run_dir)])
        reviews = store.reviews()
        store.append_to_run(
            None, lambda study: start_study(study, None, reviews, name=name, seed=seed)
        )
        print(f"blinded study {name!r} has begun")
