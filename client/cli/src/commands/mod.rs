//! Carries out what was typed: one function a command, one screen each.

mod batch;
mod cp;
mod export;
mod fetch;
mod lanes;
mod maintenance;
mod observe;
mod pipe;
mod policy;
mod progress;
mod report;
mod reservations;
mod reserve;
mod top;
mod topology;
mod watch;
mod when;

use tidegate_client::connect::Client;
use tidegate_client::reservation::{Reservation, ReservationName};
use tidegate_client::topology::ServerInfo;
use tidegate_policy::{ParseError, ReservationId};

use crate::arguments::{Apply, Arguments, Command, Cut, Diff, Export, Maintenance};
use crate::exit::{self, Exit, Mistake};
use crate::output::{Printer, Sheet};
use crate::{advice, shell, simulate, things};

/// A command's surroundings.
struct Desk {
    client: Client,
    printer: Printer,
    broker: String,
}

pub(crate) async fn run(arguments: Arguments) -> Exit {
    let printer = Printer::new(&arguments.general);
    let broker = arguments.general.broker;
    let client = match Client::connect(&broker) {
        Ok(client) => client,
        Err(error) => {
            let next = advice::address(&broker);
            return exit::report(&error.into(), next.as_deref());
        }
    };
    let desk = Desk { client, printer, broker };
    match carry_out(&desk, arguments.command).await {
        Ok(exit) => exit,
        Err(error) => {
            let next = advice::next(&desk.client, &error).await;
            exit::report(&error, next.as_deref())
        }
    }
}

async fn carry_out(desk: &Desk, command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Reserve(typed) => reserve::run(desk, *typed).await,
        Command::Confirm(one) => reservations::confirm(desk, &one.reservation).await,
        Command::Extend { one, span } => reservations::extend(desk, &one.reservation, span).await,
        Command::Modify(typed) => reservations::modify(desk, typed).await,
        Command::Release(typed) => reservations::release(desk, &typed.reservations).await,
        Command::Ls(typed) => reservations::ls(desk, typed).await,
        Command::Show(one) => reservations::show(desk, &one.reservation).await,
        Command::Explain(wanted) => when::explain(desk, &wanted).await,
        Command::When(typed) => when::run(desk, &typed).await,
        Command::Watch(typed) => watch::run(desk, typed).await,
        Command::Top(typed) => top::run(desk, typed).await,
        Command::Fetch(typed) => fetch::run(desk, *typed).await,
        Command::Cp(typed) => cp::run(desk, *typed).await,
        Command::Pipe(typed) => pipe::run(desk, &typed).await,
        Command::Sessions(typed) => reservations::sessions(desk, typed.ended).await,
        Command::Lanes(typed) => lanes::list(desk, &typed).await,
        Command::Path(typed) => lanes::path(desk, &typed).await,
        Command::Drain(typed) => lanes::drain(desk, &typed).await,
        Command::Undrain(typed) => lanes::undrain(desk, &typed).await,
        Command::Maintenance(Maintenance::Add(typed)) => maintenance::add(desk, typed).await,
        Command::Maintenance(Maintenance::Ls) => maintenance::ls(desk).await,
        Command::Maintenance(Maintenance::Rm { maintenance, dry_run }) => {
            maintenance::rm(desk, &maintenance, dry_run).await
        }
        Command::Apply(Apply::Topology { file, change }) => {
            topology::apply(desk, &file, change).await
        }
        Command::Apply(Apply::Policy { file, care }) => policy::apply(desk, &file, care).await,
        Command::Diff(Diff::Policy { file, replay: Some(last) }) => {
            policy::rehearse(desk, &file, last).await
        }
        Command::Diff(Diff::Policy { file, replay: None }) => {
            let care = Cut { dry_run: true, ignore_safety_checks: false };
            policy::apply(desk, &file, care).await
        }
        Command::Export(Export::Policy) => policy::export(desk).await,
        Command::Get(typed) => policy::get(desk, typed).await,
        Command::Describe(typed) => policy::describe(desk, typed).await,
        Command::Set(typed) => policy::set(desk, typed).await,
        Command::Delete(typed) => policy::delete(desk, typed).await,
        Command::Diff(Diff::Topology { file }) => topology::diff(desk, &file).await,
        Command::Export(Export::Topology) => topology::export(desk).await,
        Command::Export(Export::Reservations(typed)) => export::reservations(desk, typed).await,
        Command::Report(typed) => report::run(desk, *typed).await,
        Command::Observe(typed) => observe::run(desk, typed).await,
        Command::Simulate(typed) => simulate::run(&desk.printer, &typed),
        Command::Info => info(desk).await,
        Command::Completion { shell } => shell::completion(shell),
        Command::Man { directory } => shell::man(&directory),
    }
}

async fn info(desk: &Desk) -> anyhow::Result<Exit> {
    let sheet: Sheet<ServerInfo> = desk.printer.sheet()?;
    let info = desk.client.server_info().await?;
    sheet.one_as(&info, |_| things::broker_words(&info))?;
    Ok(Exit::Done)
}

/// A reservation by its id, whatever its project is, or by its full name.
fn name(text: &str) -> Result<ReservationName, Mistake> {
    let read = || match text.split_once('/') {
        Some(("reservations", id)) => id.parse().map(of_any),
        Some(_) => text.parse(),
        None => text.parse().map(of_any),
    };
    read().map_err(|_: ParseError| {
        Mistake::new(format!("{text:?} is not the id of a reservation"))
            .hint("`tidegate ls` shows them: 36 hex digits and hyphens")
    })
}

fn of_any(id: ReservationId) -> ReservationName {
    ReservationName { project: None, id }
}

/// Shows one reservation.
fn shown(sheet: &Sheet<Reservation>, reservation: &Reservation) -> anyhow::Result<Exit> {
    sheet.one(reservation)?;
    Ok(Exit::Done)
}
