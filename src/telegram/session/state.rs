//! The session's states: which observation leads from which state to which. Pure.

use crate::model::SessionState;

/// What was observed of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Observation {
    /// A connection is being made.
    Connecting,
    /// The server answered; what was missed is being fetched.
    Online,
    /// Nothing is missing any more.
    CaughtUp,
    /// What was missed is not told for a while; Telegram's word for it.
    Behind(String),
    /// The connection is gone; why, as a stable word.
    Lost(&'static str),
    /// Nothing is missing any more, and the account rests after a peer flood.
    CaughtUpResting,
    /// The account may not send any more.
    PeerFlooded,
    /// Its rest is over.
    Rested,
    /// Telegram has frozen the account; its word.
    Frozen(String),
    /// The authorisation ended: the terminal state, and Telegram's word for it.
    Ended(SessionState, String),
    /// A login began.
    LoginBegan,
    /// A login succeeded.
    LoggedIn,
    /// A login was given up.
    LoginAbandoned(&'static str),
}

/// The state after an observation, with the reason to show; none if nothing changes.
pub(crate) fn next(state: SessionState, observation: &Observation) -> Option<(SessionState, Option<String>)> {
    use SessionState as S;
    let reason = |word: &str| Some(word.to_owned());
    let (after, why) = match observation {
        Observation::Ended(end, word) => (*end, reason(word)),
        _ if state.is_terminal() && !matches!(observation, Observation::LoginBegan) => return None,
        Observation::LoginBegan => (S::LoggingIn, None),
        Observation::LoggedIn => (S::CatchingUp, None),
        // Only a session without an authorisation is logged in.
        Observation::LoginAbandoned(word) => (S::LoggedOut, reason(word)),
        _ if state == S::LoggingIn => return None,
        Observation::Connecting if state == S::TransientDisconnect => return None,
        Observation::Connecting => (S::Connecting, None),
        Observation::Online if state.is_connected() => return None,
        Observation::Online => (S::CatchingUp, None),
        Observation::CaughtUp if state == S::CatchingUp => (S::Connected, None),
        Observation::CaughtUpResting if state == S::CatchingUp => (S::Restricted, reason("PEER_FLOOD")),
        Observation::CaughtUp | Observation::CaughtUpResting => return None,
        Observation::Behind(word) if matches!(state, S::Connected | S::Restricted) => {
            (S::CatchingUp, reason(word))
        }
        Observation::Behind(_) => return None,
        Observation::Lost(word) => (S::TransientDisconnect, reason(word)),
        Observation::PeerFlooded if state.is_connected() && state != S::Frozen => {
            (S::Restricted, reason("PEER_FLOOD"))
        }
        Observation::Rested if state == S::Restricted => (S::Connected, None),
        Observation::Frozen(word) if state.is_connected() => (S::Frozen, reason(word)),
        Observation::PeerFlooded | Observation::Rested | Observation::Frozen(_) => return None,
    };
    (after != state).then_some((after, why))
}

#[cfg(test)]
mod tests {
    use super::*;
    use SessionState as S;

    fn walk(from: SessionState, observations: &[Observation]) -> SessionState {
        observations.iter().fold(from, |state, observation| {
            next(state, observation).map_or(state, |(after, _)| after)
        })
    }

    #[test]
    fn a_session_comes_up() {
        let seen = [
            Observation::Connecting,
            Observation::Online,
            Observation::CaughtUp,
        ];
        assert_eq!(walk(S::Stopped, &seen), S::Connected);
    }

    #[test]
    fn a_blip_goes_by_way_of_catching_up() {
        let seen = [Observation::Lost("RESET"), Observation::Connecting];
        assert_eq!(
            walk(S::Connected, &seen),
            S::TransientDisconnect,
            "still away while it tries"
        );
        assert_eq!(
            walk(S::TransientDisconnect, &[Observation::Online]),
            S::CatchingUp
        );
    }

    #[test]
    fn the_end_of_an_authorisation_is_final_until_a_login() {
        let ended = Observation::Ended(S::BadCredentials, "SESSION_REVOKED".into());
        let after = walk(
            S::Connected,
            &[ended, Observation::Lost("RESET"), Observation::Online],
        );
        assert_eq!(after, S::BadCredentials);
        assert_eq!(
            walk(after, &[Observation::LoginBegan, Observation::LoggedIn]),
            S::CatchingUp
        );
    }

    #[test]
    fn a_restriction_outlasts_a_reconnect_and_ends_with_the_rest() {
        let flooded = walk(S::Connected, &[Observation::PeerFlooded]);
        assert_eq!(flooded, S::Restricted);
        let reconnected = [
            Observation::Lost("RESET"),
            Observation::Rested,
            Observation::Online,
            Observation::CaughtUpResting,
        ];
        let after = walk(flooded, &reconnected);
        assert_eq!(after, S::Restricted);
        assert_eq!(walk(after, &[Observation::Rested]), S::Connected);
        assert_eq!(walk(S::Connected, &[Observation::Rested]), S::Connected);
    }

    #[test]
    fn a_frozen_account_is_tried_again_with_the_next_connection() {
        let frozen = Observation::Frozen("FROZEN_METHOD_INVALID".into());
        let after = next(S::Connected, &frozen).expect("another state");
        assert_eq!(after, (S::Frozen, Some("FROZEN_METHOD_INVALID".into())));
        assert!(S::Frozen.is_connected(), "it reads");
        assert_eq!(walk(S::Frozen, &[Observation::PeerFlooded]), S::Frozen);
        let reconnected = [
            Observation::Lost("RESET"),
            Observation::Online,
            Observation::CaughtUp,
        ];
        assert_eq!(walk(S::Frozen, &reconnected), S::Connected);
        assert_eq!(walk(S::TransientDisconnect, &[frozen]), S::TransientDisconnect);
    }

    #[test]
    fn who_falls_behind_is_connected_again_once_it_has_caught_up() {
        let behind = Observation::Behind("FLOOD_WAIT".into());
        assert_eq!(
            next(S::Connected, &behind),
            Some((S::CatchingUp, Some("FLOOD_WAIT".into())))
        );
        assert_eq!(
            walk(S::Restricted, &[behind.clone(), Observation::CaughtUpResting]),
            S::Restricted
        );
        assert_eq!(next(S::TransientDisconnect, &behind), None);
    }

    #[test]
    fn connections_do_not_disturb_a_login() {
        let seen = [
            Observation::Connecting,
            Observation::Online,
            Observation::Lost("RESET"),
        ];
        assert_eq!(walk(S::LoggingIn, &seen), S::LoggingIn);
        let given_up = next(S::LoggingIn, &Observation::LoginAbandoned("EXPIRED"));
        assert_eq!(given_up, Some((S::LoggedOut, Some("EXPIRED".into()))));
    }
}
