//! One breaker against its promises, and against a model that counts by hand.

use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

use super::*;

const FAILED: Outcome = Outcome::Failure("test");
const MINUTE: Duration = Duration::from_secs(60);

struct Bench {
    breaker: Breaker,
    policy: Policy,
    rng: ChaCha20Rng,
    now: Moment,
}

fn bench() -> Bench {
    let (policy, rng) = (Policy::default(), ChaCha20Rng::seed_from_u64(7));
    Bench { breaker: Breaker::new(), policy, rng, now: Moment::START }
}

impl Bench {
    fn ask(&mut self) -> Result<Pass, Moment> {
        self.breaker.ask(&self.policy, self.now)
    }

    fn record(&mut self, pass: &Pass, outcome: Outcome) {
        self.breaker.record(pass, outcome, &self.policy, self.now, &mut self.rng);
    }

    /// One request from leave to end.
    fn run(&mut self, outcome: Outcome) {
        let pass = self.ask().expect("leave");
        self.record(&pass, outcome);
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
    }

    /// Opened just now, for the first time.
    fn open() -> Self {
        let mut bench = bench();
        (0..5).for_each(|_| bench.run(FAILED));
        bench
    }

    /// How long it stays open.
    fn pause(&self) -> Duration {
        self.breaker.until().expect("open").since(self.now)
    }
}

/// Hardening test E1.
#[test]
fn breaker_state_transitions() {
    let mut bench = bench();
    (0..4).for_each(|_| bench.run(FAILED));
    assert_eq!(bench.breaker.state(), State::Closed);
    bench.run(FAILED);
    assert_eq!(bench.breaker.state(), State::Open);

    bench.pass(MINUTE - Duration::from_nanos(1));
    assert_eq!(bench.ask(), Err(Moment::START + MINUTE));
    assert_eq!(bench.breaker.state(), State::Open);
    bench.pass(Duration::from_nanos(1));
    (0..3).for_each(|_| bench.run(Outcome::Success));

    assert_eq!((bench.breaker.state(), bench.breaker.failures()), (State::Closed, 0));
}

#[test]
fn a_success_between_failures_starts_the_count_anew() {
    let mut bench = bench();
    let outcomes = [FAILED, FAILED, FAILED, FAILED, Outcome::Success, FAILED];
    outcomes.into_iter().for_each(|outcome| bench.run(outcome));

    assert_eq!((bench.breaker.state(), bench.breaker.failures()), (State::Closed, 1));
}

/// Hardening test E3, first half.
#[test]
fn of_fifty_callers_after_a_minute_exactly_three_pass() {
    let mut bench = Bench::open();
    bench.pass(MINUTE);

    let answers: Vec<_> = (0..50).map(|_| bench.ask()).collect();

    let passed: Vec<_> = answers.iter().flatten().collect();
    assert_eq!(passed.len(), 3);
    assert!(answers.iter().flat_map(|answer| answer.as_ref().err()).all(|at| *at > bench.now));
    bench.record(passed[0], Outcome::Success);
    assert!(bench.ask().is_err(), "a success gives its slot to nobody");
}

/// Hardening test E3, second half.
#[test]
fn one_probe_that_fails_opens_it_again_for_twice_as_long_and_up_to_a_fifth_more() {
    let mut pauses = Vec::new();
    for seed in 0..64 {
        let mut bench = Bench::open();
        bench.rng = ChaCha20Rng::seed_from_u64(seed);
        bench.pass(MINUTE);
        bench.run(Outcome::Success);
        bench.run(FAILED);
        pauses.push(bench.pause());
    }

    assert!(pauses.iter().all(|pause| (120..=144).contains(&pause.as_secs())), "{pauses:?}");
    let (least, most) = (pauses.iter().min().unwrap(), pauses.iter().max().unwrap());
    assert!(most.saturating_sub(*least) > Duration::from_secs(15), "no jitter: {pauses:?}");
}

#[test]
fn it_doubles_up_to_a_quarter_of_an_hour_and_begins_anew_once_it_has_closed() {
    let mut bench = Bench::open();
    for _ in 0..40 {
        bench.pass(bench.pause());
        bench.run(FAILED);
    }
    assert!((900..=1_080).contains(&bench.pause().as_secs()), "{:?}", bench.pause());

    bench.pass(bench.pause());
    (0..3).for_each(|_| bench.run(Outcome::Success));
    (0..5).for_each(|_| bench.run(FAILED));

    assert_eq!(bench.pause(), MINUTE);
}

/// The fault of another messenger: three probes hang, and it stays half-open for ever.
#[test]
fn probes_that_never_answer_give_their_slots_back_at_their_deadline() {
    let mut bench = Bench::open();
    bench.pass(MINUTE);
    let hung: Vec<_> = (0..3).map(|_| bench.ask().expect("leave")).collect();
    let deadline = bench.now + PROBE_MAX;
    assert_eq!(bench.ask(), Err(deadline));

    bench.pass(PROBE_MAX - Duration::from_nanos(1));
    assert_eq!(bench.ask(), Err(deadline));
    bench.pass(Duration::from_nanos(1));
    let again: Vec<_> = (0..50).filter_map(|_| bench.ask().ok()).collect();
    assert_eq!(again.len(), 3);

    // What hung answers at last: it has no slot any more, and does not take those of the others.
    hung.iter().for_each(|pass| bench.record(pass, Outcome::Success));
    bench.record(&hung[0], FAILED);
    assert_eq!(bench.breaker.state(), State::HalfOpen);
    again.iter().for_each(|pass| bench.record(pass, Outcome::Success));
    assert_eq!(bench.breaker.state(), State::Closed);
}

#[test]
fn an_answer_to_a_request_of_an_older_state_counts_for_nothing() {
    let mut bench = bench();
    let early: Vec<_> = (0..10).map(|_| bench.ask().expect("leave")).collect();
    (0..5).for_each(|_| bench.run(FAILED));
    let until = bench.breaker.until();

    early[..5].iter().for_each(|pass| bench.record(pass, FAILED));
    early[5..8].iter().for_each(|pass| bench.record(pass, Outcome::Success));
    assert_eq!(bench.breaker.until(), until);

    bench.pass(MINUTE);
    let probe = bench.ask().expect("leave");
    early[8..].iter().for_each(|pass| bench.record(pass, FAILED));
    assert_eq!(bench.breaker.state(), State::HalfOpen);
    let slow = bench.ask().expect("leave");
    bench.record(&probe, FAILED);
    assert_eq!(bench.breaker.state(), State::Open);

    bench.pass(bench.pause());
    let again: Vec<_> = (0..3).map(|_| bench.ask().expect("leave")).collect();
    bench.record(&slow, FAILED); // The second probe, as one of these is; but of another time.
    assert_eq!(bench.breaker.state(), State::HalfOpen);
    again.iter().for_each(|pass| bench.record(pass, Outcome::Success));
    early.iter().for_each(|pass| bench.record(pass, FAILED));
    assert_eq!((bench.breaker.state(), bench.breaker.failures()), (State::Closed, 0));
}

/// What it should do, by hand, in whole seconds.
#[derive(Debug)]
struct Model {
    circuit: By,
    /// How many states there were before this one.
    life: u32,
    opened: u32,
    seconds: u64,
}

#[derive(Debug)]
enum By {
    Closed(u32),
    Open(u64),
    /// Successes, and the requests under way with their deadlines.
    HalfOpen(usize, Vec<(usize, u64)>),
}

impl Model {
    fn turn(&mut self, circuit: By) {
        self.circuit = circuit;
        self.life += 1;
    }

    /// Whether the request of this number may leave.
    fn ask(&mut self, number: usize) -> bool {
        if matches!(self.circuit, By::Open(until) if self.seconds >= until) {
            self.turn(By::HalfOpen(0, Vec::new()));
        }
        match &mut self.circuit {
            By::Closed(_) => true,
            By::Open(_) => false,
            By::HalfOpen(passed, deadlines) => {
                deadlines.retain(|(_, deadline)| self.seconds < *deadline);
                let has_slot = *passed + deadlines.len() < 3;
                deadlines.extend(has_slot.then_some((number, self.seconds + 120)));
                has_slot
            }
        }
    }

    /// A request of the present state ends; says whether it opens.
    fn end(&mut self, number: usize, is_success: bool) -> bool {
        match &mut self.circuit {
            By::Closed(failures) => {
                *failures = if is_success { 0 } else { *failures + 1 };
                *failures == 5
            }
            By::Open(_) => false,
            By::HalfOpen(passed, deadlines) => {
                let is_it = |held: &(usize, u64)| held.0 == number && self.seconds < held.1;
                let Some(at) = deadlines.iter().position(is_it) else { return false };
                deadlines.remove(at);
                *passed += usize::from(is_success);
                if *passed == 3 {
                    self.opened = 0;
                    self.turn(By::Closed(0));
                }
                !is_success
            }
        }
    }

    /// It opened: for how long is at random, in a range. Rounded up, so that both compare the same.
    fn opens(&mut self, pause: Duration) {
        let base = if self.opened == 0 { 60 } else { (60u64 << self.opened.min(8)).min(900) };
        let most = if self.opened == 0 { base * 1_000 } else { base * 1_200 };
        let millis = u64::try_from(pause.as_millis()).unwrap();
        assert!((base * 1_000..=most).contains(&millis), "{pause:?}, {self:?}");
        let whole = pause.as_secs() + u64::from(pause.subsec_nanos() > 0);
        self.turn(By::Open(self.seconds + whole));
        self.opened += 1;
    }

    fn state(&self) -> (State, u32) {
        match self.circuit {
            By::Closed(failures) => (State::Closed, failures),
            By::Open(_) => (State::Open, 0),
            By::HalfOpen(..) => (State::HalfOpen, 0),
        }
    }
}

/// One step: time that passes, then a request or the end of one that was made before.
fn step() -> impl Strategy<Value = (u64, Option<(usize, bool)>)> {
    let gap = prop_oneof![4 => Just(0u64), 2 => 1u64..30, 1 => 30u64..200, 1 => 200u64..2_000];
    (gap, prop::option::weighted(0.6, (0usize..8, prop::bool::weighted(0.4))))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    /// Requests, answers in any order and late ones: the same decisions as the model.
    #[test]
    fn it_decides_as_the_model(steps in prop::collection::vec(step(), 1..60)) {
        let mut bench = bench();
        let mut model = Model { circuit: By::Closed(0), life: 0, opened: 0, seconds: 0 };
        let mut passes = Vec::<(Pass, u32)>::new();
        for (gap, end) in steps {
            model.seconds += gap;
            bench.pass(Duration::from_secs(gap));
            match end.map(|(back, is_success)| (passes.len().checked_sub(back + 1), is_success)) {
                None => {
                    let leave = model.ask(passes.len());
                    let asked = bench.ask();
                    prop_assert_eq!(asked.is_ok(), leave, "{:?}", model);
                    passes.extend(asked.map(|pass| (pass, model.life)));
                }
                Some((None, _)) => {}
                Some((Some(number), is_success)) => {
                    let (pass, life) = &passes[number];
                    bench.record(pass, if is_success { Outcome::Success } else { FAILED });
                    if *life == model.life && model.end(number, is_success) {
                        model.opens(bench.pause());
                    }
                }
            }
            let state = (bench.breaker.state(), bench.breaker.failures());
            prop_assert_eq!(state, model.state(), "{:?}", model);
        }
    }
}
