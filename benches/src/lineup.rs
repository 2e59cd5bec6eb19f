use crate::contestant::Contestant;

/// Who takes turns, and what is hoped for.
#[derive(Debug)]
pub(crate) struct Lineup {
    /// In the order in which they take turns.
    pub(crate) contestants: &'static [Contestant],
    /// The one that ratios relate to.
    pub(crate) reference: Contestant,
    /// Of `own`, beside the reference.
    pub(crate) goal: Option<Goal>,
}

/// What the layer is to reach, beside the reference.
#[derive(Debug)]
pub(crate) struct Goal {
    pub(crate) own: Contestant,
    /// At least so many times as fast.
    pub(crate) speed: f64,
    /// At most so many times the processor time.
    pub(crate) cpu: Option<f64>,
}

/// Whole uploads, nobody flushes.
pub(crate) const PROCESS: Lineup = Lineup {
    contestants: &[
        Contestant::Discard,
        Contestant::Inline,
        Contestant::Store,
        Contestant::Handler,
    ],
    reference: Contestant::Inline,
    goal: Some(Goal {
        own: Contestant::Store,
        speed: 0.85,
        cpu: Some(1.25),
    }),
};

/// Acknowledgements, nobody flushes: what is left when the disk costs nothing.
pub(crate) const PROCESS_ACKS: Lineup = Lineup {
    contestants: &[Contestant::Discard, Contestant::Inline, Contestant::Store],
    reference: Contestant::Inline,
    goal: None,
};

/// Whole uploads, every acknowledgement flushed.
pub(crate) const POWER: Lineup = Lineup {
    contestants: &[
        Contestant::InlineFlush,
        Contestant::BlockingFlush,
        Contestant::StorePower,
        Contestant::HandlerPower,
    ],
    reference: Contestant::InlineFlush,
    goal: Some(Goal {
        own: Contestant::StorePower,
        speed: 0.9,
        cpu: None,
    }),
};

/// Acknowledgements, every one flushed.
pub(crate) const POWER_ACKS: Lineup = Lineup {
    contestants: &[
        Contestant::InlineFlush,
        Contestant::BlockingFlush,
        Contestant::StorePower,
    ],
    reference: Contestant::InlineFlush,
    goal: Some(Goal {
        own: Contestant::StorePower,
        speed: 2.0,
        cpu: None,
    }),
};
