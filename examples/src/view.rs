//! The dashboard on a terminal.

use std::time::Instant;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Paragraph, Sparkline};

use crate::demo_board::{BoardLink, BoardModel};
use crate::model::{Gauge, Link, Model};

/// Draws all of it.
pub fn draw(frame: &mut Frame<'_>, model: &Model, keys: &str) {
    let board = if model.board.is_some() { 3 } else { 0 };
    let rows = Layout::vertical([
        Constraint::Length(2),
        Constraint::Length(board),
        Constraint::Length(3),
        Constraint::Length(3),
        Constraint::Length(3),
        Constraint::Length(3),
        Constraint::Min(3),
        Constraint::Length(1),
    ]);
    let [head, board, a, b, c, d, log, foot] = rows.areas(frame.area());
    draw_head(frame, head, model);
    let now = Instant::now();
    if let Some(BoardModel { link, level, .. }) = &model.board {
        draw_gauge(frame, board, level, matches!(link, BoardLink::Up), now);
    }
    let live = matches!(model.link, Link::Up(_));
    for (area, gauge) in [a, b, c, d].into_iter().zip(&model.gauges) {
        draw_gauge(frame, area, gauge, live, now);
    }
    draw_log(frame, log, model);
    frame.render_widget(Paragraph::new(keys.to_owned()).style(Style::new().fg(Color::DarkGray)), foot);
}

fn draw_head(frame: &mut Frame<'_>, area: Rect, model: &Model) {
    let (word, color, rest) = match &model.link {
        Link::Connecting(text) => (" ... ", Color::Yellow, text.clone()),
        Link::Up(name) => {
            let text = format!("{name}, session {}, samples every {} ms", model.sessions, model.interval_ms);
            (" up ", Color::Green, text)
        }
        Link::Dead { dead, at, took, attempts } => {
            let why = dead.map_or_else(|| "ended in order".to_owned(), |dead| dead.reason.to_string());
            let since = at.elapsed().as_secs_f64();
            let text = format!("{why}; {took}; for {since:.1} s; {attempts} attempts to come back");
            (" dead ", Color::Red, text)
        }
    };
    let badge = Style::new().fg(Color::Black).bg(color).add_modifier(Modifier::BOLD);
    let line = Line::from(vec![
        Span::styled(" netchan ", Style::new().add_modifier(Modifier::BOLD)),
        Span::styled(word, badge),
        Span::raw(format!(" {rest}")),
    ]);
    let values = format!(" {} values received", model.values);
    frame.render_widget(Paragraph::new(vec![line, Line::from(values)]), area);
}

fn draw_gauge(frame: &mut Frame<'_>, area: Rect, gauge: &Gauge, live: bool, now: Instant) {
    let [left, right] = Layout::horizontal([Constraint::Length(44), Constraint::Min(10)]).areas(area);
    let dim = Style::new().fg(Color::DarkGray);
    let text = vec![
        Line::from(vec![
            Span::styled(format!(" {:<8}", gauge.name), Style::new().add_modifier(Modifier::BOLD)),
            Span::styled(gauge.text.clone(), if live { Style::new() } else { dim }),
        ]),
        Line::styled(format!("         {:.1} values/s, {} in all", gauge.rate(now), gauge.count), dim),
    ];
    frame.render_widget(Paragraph::new(text), left);
    let width = usize::from(right.width);
    let from = gauge.history.len().saturating_sub(width);
    let data: Vec<u64> = gauge.history.iter().skip(from).copied().collect();
    let color = if live { Color::Cyan } else { Color::DarkGray };
    let mut line = Sparkline::default().data(&data).style(Style::new().fg(color));
    if let Some(full) = gauge.full {
        line = line.max(full);
    }
    frame.render_widget(line, right);
}

fn draw_log(frame: &mut Frame<'_>, area: Rect, model: &Model) {
    let room = usize::from(area.height.saturating_sub(2));
    let from = model.lines.len().saturating_sub(room);
    let lines: Vec<_> = model.lines.iter().skip(from).map(|line| Line::from(line.as_str())).collect();
    frame.render_widget(Paragraph::new(lines).block(Block::bordered().title(" what happened ")), area);
}
