//! `completion`: for the shell when the plug-in is called by its own name, and the hook by which kubectl completes `kubectl rtok`.

use std::ffi::OsString;
use std::sync::mpsc;
use std::time::Duration;

use clap::{Args, Command, CommandFactory as _, FromArgMatches as _, ValueEnum};
use clap_complete::{Shell, generate};
use kube::ResourceExt;

use crate::Arguments;
use crate::cluster::Reach;
use crate::connect::Connection;
use crate::failure::{Failure, Verdict};
use crate::output::print;

/// The hook: kubectl calls `kubectl_complete-rtok` with the words after `rtok` and reads cobra's answer from it (Kubernetes
/// documentation, "Extend kubectl with plugins", shell completion).
const HOOK: &str = "#!/bin/sh\n# Completion of `kubectl rtok`: kubectl looks for this file in the PATH.\nexec kubectl-rtok __complete -- \"$@\"\n";
/// How long a person who pressed TAB waits at most. Our choice.
const PATIENCE: Duration = Duration::from_secs(3);
/// Cobra's directive that no file names are to be offered (ShellCompDirectiveNoFileComp).
const NO_FILES: &str = ":4\n";
/// Cobra's directive that file names are to be offered (ShellCompDirectiveDefault).
const FILES: &str = ":0\n";

// Arguments of `completion`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  kubectl rtok completion kubectl > ~/bin/kubectl_complete-rtok && chmod +x ~/bin/kubectl_complete-rtok
                                           then kubectl's own completion completes `kubectl rtok` too
  source <(kubectl-rtok completion bash)   for `kubectl-rtok` by itself")]
pub struct Completion {
    /// What completes.
    #[arg(value_name = "SHELL", value_enum)]
    shell: Completer,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Completer {
    /// kubectl, by the file kubectl_complete-rtok in the PATH.
    Kubectl,
    Bash,
    Zsh,
    Fish,
    Powershell,
    Elvish,
}

impl Completion {
    /// Prints it.
    pub fn run(self) -> Result<Verdict, Failure> {
        let shell = match self.shell {
            Completer::Kubectl => None,
            Completer::Bash => Some(Shell::Bash),
            Completer::Zsh => Some(Shell::Zsh),
            Completer::Fish => Some(Shell::Fish),
            Completer::Powershell => Some(Shell::PowerShell),
            Completer::Elvish => Some(Shell::Elvish),
        };
        print(&shell.map_or_else(|| HOOK.to_owned(), script))?;
        Ok(Verdict::Good)
    }
}

/// The program is called by its own name there, in one word: a shell knows no command with a space.
fn script(shell: Shell) -> String {
    let root = Arguments::command();
    let shown = root.get_subcommands().filter(|verb| !verb.is_hide_set()).cloned();
    let mut command = Command::new("kubectl-rtok").version(env!("CARGO_PKG_VERSION")).propagate_version(true);
    command = command.args(root.get_arguments().cloned()).subcommands(shown);
    let mut script = Vec::new();
    generate(shell, &mut command, "kubectl-rtok", &mut script);
    // clap_complete spells a name with a dash in two ways, so that no verb of bash's script is ever found.
    String::from_utf8_lossy(&script).replace("kubectl__subcmd__rtok", "kubectl__rtok")
}

// What kubectl asks: the words so far, the last one to be completed.
#[derive(Args, Debug)]
pub struct Complete {
    #[arg(last = true, allow_hyphen_values = true)]
    words: Vec<OsString>,
}

impl Complete {
    /// Prints what may follow.
    pub fn run(self) -> Result<Verdict, Failure> {
        let words: Vec<String> = self.words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
        let (last, before) =
            words.split_last().map_or((String::new(), Vec::new()), |(last, before)| (last.clone(), before.to_vec()));
        let mut root = Arguments::command();
        root.build();
        let offer = match offer(&root, &before, &last) {
            Offer::Words(words) => lines(words, NO_FILES),
            Offer::Files => FILES.to_owned(),
            Offer::Objects => {
                let known = in_time(move || objects(&before), PATIENCE);
                lines(known.into_iter().filter(|name| name.starts_with(&last)).collect(), NO_FILES)
            }
        };
        print(&offer)?;
        Ok(Verdict::Good)
    }
}

fn lines(words: Vec<String>, directive: &str) -> String {
    words.into_iter().map(|word| word + "\n").collect::<String>() + directive
}

/// What may stand at a place of the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Offer {
    /// One of these.
    Words(Vec<String>),
    /// The name of a file.
    Files,
    /// The name of a RefreshableToken.
    Objects,
}

fn offer(root: &Command, before: &[String], last: &str) -> Offer {
    let mut verb = None;
    let mut awaits = None;
    for word in before {
        let command = verb.unwrap_or(root);
        if awaits.take().is_some() {
            continue;
        }
        if word.starts_with('-') {
            awaits = argument(command, word).filter(|argument| argument.get_action().takes_values() && !word.contains('='));
        } else if verb.is_none() {
            verb = root.find_subcommand(word);
        }
    }
    let command = verb.unwrap_or(root);
    if let Some(argument) = awaits {
        return values(argument, last);
    }
    if last.starts_with('-') {
        let shown = command.get_arguments().filter(|argument| !argument.is_hide_set());
        let flags = shown.filter_map(|argument| Some((format!("--{}", argument.get_long()?), argument.get_help())));
        return words(flags.map(|(flag, help)| (flag, help.map(ToString::to_string))), last);
    }
    if verb.is_none() {
        let verbs = root.get_subcommands().filter(|verb| !verb.is_hide_set());
        return words(verbs.map(|verb| (verb.get_name().to_owned(), verb.get_about().map(ToString::to_string))), last);
    }
    match command.get_positionals().next() {
        Some(argument) if argument.get_value_names().is_some_and(|names| names.iter().any(|name| name.as_str() == "NAME")) => {
            Offer::Objects
        }
        Some(argument) => values(argument, last),
        None => Offer::Words(Vec::new()),
    }
}

fn argument<'a>(command: &'a Command, word: &str) -> Option<&'a clap::Arg> {
    let name = word.split('=').next().unwrap_or_default();
    command.get_arguments().find(|argument| {
        let long = argument.get_long().map(|long| format!("--{long}"));
        let short = argument.get_short().map(|short| format!("-{short}"));
        [long, short].iter().flatten().any(|known| known == name)
    })
}

fn values(argument: &clap::Arg, last: &str) -> Offer {
    let known = argument.get_possible_values();
    let file = argument.get_value_names().is_some_and(|names| names.iter().any(|name| name.as_str().contains("FILE")));
    if known.is_empty() && file {
        return Offer::Files;
    }
    words(known.iter().map(|value| (value.get_name().to_owned(), value.get_help().map(ToString::to_string))), last)
}

/// Words with this beginning, each with what it is for after a tab.
fn words(all: impl Iterator<Item = (String, Option<String>)>, beginning: &str) -> Offer {
    let fitting = all.filter(|(word, _)| word.starts_with(beginning));
    Offer::Words(fitting.map(|(word, help)| help.map_or(word.clone(), |help| format!("{word}\t{help}"))).collect())
}

/// What is found within a time; nothing if that is not enough. In a thread of its own: whatever command the kubeconfig runs for
/// credentials stops the thread that it is waited for in.
fn in_time(find: impl FnOnce() -> Vec<String> + Send + 'static, time: Duration) -> Vec<String> {
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || send.send(find()));
    receive.recv_timeout(time).unwrap_or_default()
}

/// Names of the objects that the words before ask for; none when the API server does not answer.
fn objects(before: &[String]) -> Vec<String> {
    let words = std::iter::once("kubectl rtok").chain(before.iter().map(String::as_str));
    let Ok(matches) = Arguments::command().ignore_errors(true).try_get_matches_from(words) else { return Vec::new() };
    let chosen = matches.subcommand().map_or(&matches, |(_, verb)| verb);
    let Ok(connection) = Connection::from_arg_matches(chosen) else { return Vec::new() };
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return Vec::new() };
    runtime.block_on(async {
        let Ok(reach) = Reach::connect(&connection).await else { return Vec::new() };
        let listed = reach.objects(None).await.unwrap_or_default();
        listed.objects.iter().map(ResourceExt::name_any).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(words: &[&str]) -> Offer {
        let mut root = Arguments::command();
        root.build();
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let (last, before) = words.split_last().unwrap();
        offer(&root, before, last)
    }

    #[test]
    fn each_place_offers_what_may_stand_there() {
        let Offer::Words(verbs) = of(&["re"]) else { panic!() };
        let verbs: Vec<&str> = verbs.iter().filter_map(|verb| verb.split('\t').next()).collect();
        assert_eq!(verbs, ["refresh", "resume", "reseed", "render"]);
        assert_eq!(of(&["status", ""]), Offer::Objects);
        assert_eq!(of(&["-n", "build", "explain", "a"]), Offer::Objects);
        assert_eq!(of(&["status", "-n", "b"]), Offer::Words(Vec::new()));
        assert_eq!(of(&["validate", "-f", ""]), Offer::Files);
        let Offer::Words(forms) = of(&["status", "-o", ""]) else { panic!() };
        assert!(forms.iter().any(|form| form.starts_with("yaml\t")), "{forms:?}");
        let Offer::Words(flags) = of(&["status", "--wat"]) else { panic!() };
        assert!(flags.len() == 1 && flags[0].starts_with("--watch\t"), "{flags:?}");
        let Offer::Words(providers) = of(&["init", "jfrogA"]) else { panic!() };
        assert_eq!(providers.len(), 1, "{providers:?}");
    }

    #[test]
    fn nobody_waits_longer_for_names_than_they_are_worth() {
        let slow = in_time(
            || {
                std::thread::sleep(Duration::from_secs(5));
                vec!["late".to_owned()]
            },
            Duration::from_millis(20),
        );
        assert_eq!(slow, Vec::<String>::new());
        assert_eq!(in_time(|| vec!["ci".to_owned()], Duration::from_secs(10)), ["ci"]);
    }

    /// What bash offers for a line, its last word being completed.
    fn bash(words: &[&str]) -> Vec<String> {
        let commands = format!(
            "{}\nCOMP_WORDS=({}); COMP_CWORD={}\n_kubectl__rtok kubectl-rtok '{}' '{}'\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"",
            script(Shell::Bash),
            words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" "),
            words.len() - 1,
            words.last().unwrap(),
            words[words.len() - 2],
        );
        let output = std::process::Command::new("bash").args(["--norc", "-c", &commands]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn the_script_of_a_shell_completes_verbs_and_what_follows_them() {
        assert_eq!(bash(&["kubectl-rtok", "statu"]), ["status"]);
        assert!(bash(&["kubectl-rtok", "status", "--wat"]).contains(&"--watch".to_owned()));
        assert!(bash(&["kubectl-rtok", "status", "-o", "wi"]).contains(&"wide".to_owned()));
    }

    #[test]
    fn no_script_offers_what_is_hidden() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::PowerShell, Shell::Elvish] {
            let script = script(shell);
            assert!(script.contains("--watch") || script.contains("-l watch"), "{shell}");
            assert!(!script.contains("color") && !script.contains("__complete"), "{shell}");
        }
    }
}
